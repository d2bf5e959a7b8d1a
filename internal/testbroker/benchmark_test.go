package testbroker

import (
	"fmt"
	"io"
	"net"
	"testing"

	"iotwire/mqtt/packet"
)

// BenchmarkRelay is a message of 100 bytes over loopback TCP from a client that sends without waiting: to the broker
// alone, and through it to a subscriber.
func BenchmarkRelay(b *testing.B) {
	for q := range packet.QoS(2) {
		for subscribers := range 2 {
			b.Run(fmt.Sprintf("QoS%d/subscribers=%d", q, subscribers), func(b *testing.B) { relay(b, q, subscribers) })
		}
	}
}

func relay(b *testing.B, q packet.QoS, subscribers int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	broker := New(Config{OutgoingBytes: 1 << 30, QueueMessages: 1 << 30, QueueBytes: 1 << 30, Inflight: 1000})
	go broker.Serve(b.Context(), l)
	defer broker.Close()

	connect, _ := packet.AppendConnect(nil, &packet.Connect{CleanSession: true})
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Write(connect); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
			b.Fatal(err)
		}
		return conn
	}
	done := make(chan error, 2)
	for range subscribers {
		subscriber := dial()
		defer subscriber.Close()
		if _, err := subscriber.Write(request(1, q, "bench/+")); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(subscriber, make([]byte, 5)); err != nil {
			b.Fatal(err)
		}
		go func() { done <- count(subscriber, b.N, q) }()
	}
	publisher := dial()
	defer publisher.Close()
	if q > 0 {
		go func() {
			_, err := io.CopyN(io.Discard, publisher, int64(4*b.N))
			done <- err
		}()
	}

	p := packet.Publish{Topic: []byte("bench/topic"), Payload: make([]byte, 100), QoS: q}
	var out []byte
	b.SetBytes(100)
	for i := range b.N {
		if q > 0 {
			p.ID = uint16(i%65_535) + 1
		}
		out, _ = packet.AppendPublish(out, &p)
		if len(out) > 32<<10 || i == b.N-1 {
			if _, err := publisher.Write(out); err != nil {
				b.Fatal(err)
			}
			out = out[:0]
		}
	}
	if q == 0 && subscribers == 0 {
		publisher.Write(packet.AppendPingreq(nil))
		if _, err := io.ReadFull(publisher, make([]byte, 2)); err != nil {
			b.Fatal(err)
		}
	}
	for range int(q) + subscribers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// count reads n messages and acknowledges them, those of a read at once.
func count(conn net.Conn, n int, q packet.QoS) error {
	r := packet.NewReader(conn, 1<<20)
	var acks []byte
	for range n {
		h, body, err := r.Next()
		if err != nil {
			return err
		}
		p, err := packet.ParsePublish(h.Flags, body)
		if err != nil {
			return err
		}
		if q > 0 {
			acks, _ = packet.AppendPuback(acks, &packet.Puback{ID: p.ID})
			if !r.Ready() {
				if _, err := conn.Write(acks); err != nil {
					return err
				}
				acks = acks[:0]
			}
		}
	}
	_, err := conn.Write(acks)
	return err
}
