package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// topic is what all messages of the benchmark are about.
const topic = "plant/7/meter/42/temperature"

// job is one measurement, made by a worker.
type job struct {
	What   string // publish, receive, idle, scale, durable, or a key of contestant.codec
	QoS    byte
	Window int // messages in flight
	Size   int // bytes of payload
	TLS    bool
	For    time.Duration // how long to measure, about
	Count  int           // idle, scale: how many clients; durable: how many publishers; else how many messages, not to find out
	Dir    string        // durable: where to store
	Server server
}

// server is where the sink listens, and how a client proves who it is.
type server struct {
	TCP, TLS     string // addresses
	Certificates string // a directory: see testbroker.EnsureCertificates
	config       *tls.Config
}

// dial connects as the job says.
func (j *job) dial() (net.Conn, error) {
	if !j.TLS {
		return net.Dial("tcp", j.Server.TCP)
	}
	return tls.Dial("tcp", j.Server.TLS, j.Server.config)
}

// clientConfig is the client's side of mutual TLS.
func clientConfig(dir string) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "private.key"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "AmazonRootCA1.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, ServerName: "localhost"}, nil
}

// filter is the topic filter that makes the sink send.
func (j *job) filter() string { return fmt.Sprintf("flood/%d/%d/%d", j.QoS, j.Size, max(j.Window, 1)) }

func (j *job) payload() []byte {
	b := make([]byte, j.Size)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

// result is what a job has measured.
type result struct {
	Messages   int
	Took       time.Duration // by the clock
	CPU        time.Duration // of the worker's process
	Allocs     uint64        // in it
	P50, P99   time.Duration // of a round trip: with one message in flight
	Memory     float64       // idle: KiB of resident memory a client
	Goroutines float64       // idle: goroutines a client
	Error      string        `json:",omitempty"`
}

// rate is messages a second.
func (r *result) rate() float64 { return float64(r.Messages) / r.Took.Seconds() }

// client is a connected MQTT client, or what stands for it.
type client interface {
	// publish sends n messages and returns when all are acknowledged. At QoS 0 a last message, of QoS 1, says that they
	// have arrived.
	publish(n int) error
	// receive takes n messages.
	receive(n int) error
	close()
}

// contestant is who is measured.
type contestant struct {
	name    string
	connect func(j *job) (client, error) // and, for a job that receives, subscribe
	idle    func(j *job) (close func(), err error)
	codec   map[string]func(j *job) func(n int) // to encode or decode a packet n times
}

var contestants = []contestant{limit, ours, paho, atwat, mochi}

func findContestant(name string) *contestant {
	for i := range contestants {
		if contestants[i].name == name {
			return &contestants[i]
		}
	}
	return nil
}
