package packet_test

import (
	"fmt"
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

var payloadSizes = []int{16, 256, 4096}

const benchTopic = "devices/thing-0042/temperature" // 30 bytes

func BenchmarkAppendPublish(b *testing.B) {
	for _, size := range payloadSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			buf := make([]byte, 0, 8192)
			p := packet.Publish{QoS: packet.QoS1, ID: 7, Topic: []byte(benchTopic), Payload: make([]byte, size)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := packet.AppendPublish(buf, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParsePublish(b *testing.B) {
	for _, size := range payloadSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			wire, err := packet.AppendPublish(nil, &packet.Publish{QoS: packet.QoS1, ID: 7, Topic: []byte(benchTopic), Payload: make([]byte, size)})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				h, n, err := packet.ParseHeader(wire)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := packet.ParsePublish(h.Flags, wire[n:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPuback(b *testing.B) {
	b.Run("Append", func(b *testing.B) {
		buf := make([]byte, 0, 8)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := packet.AppendPuback(buf, &packet.Puback{ID: 7}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Parse", func(b *testing.B) {
		wire := []byte("\x40\x02\x00\x07")
		b.ReportAllocs()
		for b.Loop() {
			_, n, err := packet.ParseHeader(wire)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := packet.ParsePuback(wire[n:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkConnect(b *testing.B) {
	c := packet.Connect{ClientID: []byte("test-7c9e6679-7425-40de-944b-e07fc1f90ae7"), KeepAlive: 60, CleanSession: true}
	wire, err := packet.AppendConnect(nil, &c)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Append", func(b *testing.B) {
		buf := make([]byte, 0, 128)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := packet.AppendConnect(buf, &c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := packet.ParseConnect(wire[2:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSubscribe8(b *testing.B) {
	s := packet.Subscribe{ID: 7}
	for i := range 8 {
		s.Requests = s.Requests.Add(fmt.Sprintf("devices/+/sensors/%d/#", i), packet.QoS1)
	}
	wire, err := packet.AppendSubscribe(nil, &s)
	if err != nil {
		b.Fatal(err)
	}
	_, n, err := packet.ParseHeader(wire)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Append", func(b *testing.B) {
		buf := make([]byte, 0, 1024)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := packet.AppendSubscribe(buf, &s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := packet.ParseSubscribe(wire[n:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, filter := range []string{benchTopic, "devices/+/temperature", "devices/#", "devices/+/humidity"} {
		b.Run(strings.ReplaceAll(filter, "/", "."), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				packet.Match(filter, benchTopic)
			}
		})
	}
}

func BenchmarkValidTopic(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := packet.ValidTopic(benchTopic); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	wire, err := packet.AppendPublish(nil, &packet.Publish{QoS: packet.QoS1, ID: 7, Topic: []byte(benchTopic), Payload: make([]byte, 256)})
	if err != nil {
		b.Fatal(err)
	}
	r := packet.NewReader(&repeat{b: []byte(strings.Repeat(string(wire), 1000))}, 1000)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
