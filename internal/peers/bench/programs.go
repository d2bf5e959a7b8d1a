package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// programs builds the programs in the directories below programs, and cmd/publisher, compares their sizes, and how long
// each takes for one message over mutual TLS.
func (b *bench) programs() error {
	if !b.wanted("size", "") && !b.wanted("start", "") {
		return nil
	}
	directories := map[string]string{limit.name: "limit", ours.name: "iotwire", paho.name: "paho", atwat.name: "atwat"}
	names := b.asked([]string{limit.name, ours.name, paho.name, atwat.name})
	size := func(path, contestant string) (int64, error) {
		out := filepath.Join(b.dir, contestant)
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, path)
		if message, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%s: run this in internal/peers: %w: %s", build, err, message)
		}
		info, err := os.Stat(out)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	sizes := map[string]int64{}
	here := runtime.GOOS + "/" + runtime.GOARCH
	for _, n := range names {
		bytes, err := size("iotwire/internal/peers/bench/programs/"+directories[n], n)
		if err != nil {
			return err
		}
		sizes[n] = bytes
		b.rows = append(b.rows, row{Section: "size", Case: "connect and publish, " + here, Contestant: n,
			Bytes: bytes, OfLimit: float64(bytes) / float64(sizes[limit.name])})
	}
	b.comparePeers(len(names))
	bytes, err := size("iotwire/cmd/publisher", "publisher")
	if err != nil {
		return err
	}
	b.rows = append(b.rows, row{Section: "size", Case: "cmd/publisher, " + here, Contestant: ours.name,
		Bytes: bytes, OfLimit: float64(bytes) / float64(sizes[limit.name])})

	type start struct{ millis, ratio float64 }
	starts := map[string][]start{}
	for range 3 * b.rounds {
		for _, n := range names {
			cmd := exec.Command(filepath.Join(b.dir, n), b.server.TLS, b.server.Certificates, "1")
			began := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", cmd, err, out)
			}
			s := start{millis: float64(time.Since(began)) / float64(time.Millisecond)}
			s.ratio = s.millis / last(append(starts[limit.name], s)[:max(len(starts[limit.name]), 1)]).millis
			starts[n] = append(starts[n], s)
		}
	}
	middle := func(n string, of func(start) float64) float64 {
		var v []float64
		for _, s := range starts[n] {
			v = append(v, of(s))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	for _, n := range names {
		b.rows = append(b.rows, row{Section: "start", Case: "one message, mutual TLS", Contestant: n,
			Millis:  middle(n, func(s start) float64 { return s.millis }),
			OfLimit: middle(n, func(s start) float64 { return s.ratio })})
	}
	b.comparePeers(len(names))
	return nil
}

func last[T any](s []T) T { return s[len(s)-1] }

// mosquitto has a program of libmosquitto do a job: mosquitto_pub, which has 20 messages in flight, or mosquitto_sub.
func (b *bench) mosquitto(j *job) (r result) {
	host, port, _ := strings.Cut(j.Server.TCP, ":")
	args := []string{"-c", fmt.Sprint(clientCore)}
	r.Messages = 20000
	if j.What == "publish" {
		args = append(args, "mosquitto_pub", "-l", "-t", topic)
	} else {
		args = append(args, "mosquitto_sub", "-C", fmt.Sprint(r.Messages), "-t", j.filter())
	}
	if j.TLS {
		host, port, _ = strings.Cut(j.Server.TLS, ":")
		dir := j.Server.Certificates
		args = append(args, "--cafile", dir+"/AmazonRootCA1.pem", "--cert", dir+"/cert.pem", "--key", dir+"/private.key")
	}
	args = append(args, "-h", host, "-p", port, "-q", fmt.Sprint(j.QoS), "-i", "bench")
	cmd := exec.Command("taskset", args...)
	cmd.Stdin = strings.NewReader(strings.Repeat(string(j.payload())+"\n", r.Messages))
	began := time.Now()
	err := cmd.Run()
	r.Took = time.Since(began)
	if err != nil {
		r.Error = fmt.Sprintf("%s: %v", cmd, err)
		return r
	}
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r
}

const mosquittoName = "mosquitto"

// hasMosquitto reports whether mosquitto's programs can be compared.
func hasMosquitto() bool {
	for _, name := range []string{"mosquitto_pub", "mosquitto_sub", "taskset"} {
		if _, err := exec.LookPath(name); err != nil {
			return false
		}
	}
	return true
}
