package main

import (
	"bytes"
	"io"
	"runtime"
	"unicode/utf8"

	pahopackets "github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/mochi-mqtt/server/v2/packets"

	"iotwire/mqtt/packet"
)

// The codecs: each is made for a job and encodes or decodes the same packet n times.

var filters = []string{"plant/1/#", "plant/2/#", "plant/3/#", "plant/4/#", "plant/5/+/temperature", "plant/6/+/temperature", "alarm/+", "time"}

// limitCodec copies bytes that are known, and reads what it has to.
var limitCodec = map[string]func(*job) func(int){
	"encode PUBLISH": func(j *job) func(int) {
		payload := j.payload()
		head := appendPublish(nil, 1, 7, payload)
		head = head[:len(head)-len(payload)]
		b := make([]byte, 0, len(head)+len(payload))
		return func(n int) {
			for i := range n {
				b = append(append(b[:0], head...), payload...)
				b[len(head)-1] = byte(i)
			}
		}
	},
	"decode PUBLISH": func(j *job) func(int) {
		b := appendPublish(nil, 1, 7, j.payload())
		return func(n int) {
			sum := 0
			defer func() { runtime.KeepAlive(sum) }() // or nothing would have to be computed
			for range n {
				_, body, end := cut(b)
				t := b[body+2:][:int(b[body])<<8|int(b[body+1])]
				if !utf8.Valid(t) {
					panic(t)
				}
				sum += int(b[body+2+len(t)])<<8 | int(b[body+3+len(t)]) + end
			}
		}
	},
	"encode PUBACK": func(*job) func(int) {
		b := make([]byte, 0, 4)
		return func(n int) {
			for i := range n {
				b = append(b[:0], typePuback, 2, byte(i>>8), byte(i))
			}
		}
	},
	"decode PUBACK": func(*job) func(int) {
		b := []byte{typePuback, 2, 0, 7}
		return func(n int) {
			sum := 0
			defer func() { runtime.KeepAlive(sum) }() // or nothing would have to be computed
			for range n {
				_, body, end := cut(b)
				sum += int(b[body])<<8 | int(b[body+1]) + end
			}
		}
	},
	"encode SUBSCRIBE": func(*job) func(int) {
		known, _ := packet.AppendSubscribe(nil, subscribe())
		b := make([]byte, 0, len(known))
		return func(n int) {
			for range n {
				b = append(b[:0], known...)
			}
		}
	},
}

func subscribe() *packet.Subscribe {
	s := &packet.Subscribe{ID: 7}
	for _, f := range filters {
		s.Requests = s.Requests.Add(f, 1)
	}
	return s
}

var ourCodec = map[string]func(*job) func(int){
	"encode PUBLISH": func(j *job) func(int) {
		p := packet.Publish{QoS: 1, ID: 7, Topic: []byte(topic), Payload: j.payload()}
		var b []byte
		return func(n int) {
			for range n {
				b, _ = packet.AppendPublish(b[:0], &p)
			}
		}
	},
	"decode PUBLISH": func(j *job) func(int) {
		b := appendPublish(nil, 1, 7, j.payload())
		return func(n int) {
			sum := 0
			defer func() { runtime.KeepAlive(sum) }()
			for range n {
				h, at, _ := packet.ParseHeader(b)
				p, err := packet.ParsePublish(h.Flags, b[at:])
				if err != nil {
					panic(err)
				}
				sum += len(p.Payload)
			}
		}
	},
	"encode PUBACK": func(*job) func(int) {
		var b []byte
		return func(n int) {
			for range n {
				b, _ = packet.AppendPuback(b[:0], &packet.Puback{ID: 7})
			}
		}
	},
	"decode PUBACK": func(*job) func(int) {
		b := []byte{typePuback, 2, 0, 7}
		return func(n int) {
			sum := 0
			defer func() { runtime.KeepAlive(sum) }()
			for range n {
				_, at, _ := packet.ParseHeader(b)
				p, err := packet.ParsePuback(b[at:])
				if err != nil {
					panic(err)
				}
				sum += int(p.ID)
			}
		}
	},
	"encode SUBSCRIBE": func(*job) func(int) {
		s := subscribe()
		var b []byte
		return func(n int) {
			for range n {
				b, _ = packet.AppendSubscribe(b[:0], s)
			}
		}
	},
}

var pahoCodec = map[string]func(*job) func(int){
	"encode PUBLISH": func(j *job) func(int) {
		payload := j.payload()
		return encodePaho(func() pahopackets.ControlPacket {
			p := pahopackets.NewControlPacket(pahopackets.Publish).(*pahopackets.PublishPacket)
			p.Qos, p.MessageID, p.TopicName, p.Payload = 1, 7, topic, payload
			return p
		})
	},
	"decode PUBLISH": func(j *job) func(int) { return decodePaho(appendPublish(nil, 1, 7, j.payload())) },
	"encode PUBACK": func(*job) func(int) {
		return encodePaho(func() pahopackets.ControlPacket {
			p := pahopackets.NewControlPacket(pahopackets.Puback).(*pahopackets.PubackPacket)
			p.MessageID = 7
			return p
		})
	},
	"decode PUBACK": func(*job) func(int) { return decodePaho([]byte{typePuback, 2, 0, 7}) },
	"encode SUBSCRIBE": func(*job) func(int) {
		return encodePaho(func() pahopackets.ControlPacket {
			p := pahopackets.NewControlPacket(pahopackets.Subscribe).(*pahopackets.SubscribePacket)
			p.MessageID, p.Topics, p.Qoss = 7, filters, []byte{1, 1, 1, 1, 1, 1, 1, 1}
			return p
		})
	},
}

func encodePaho(make func() pahopackets.ControlPacket) func(int) {
	return func(n int) {
		for range n {
			if err := make().Write(io.Discard); err != nil {
				panic(err)
			}
		}
	}
}

func decodePaho(b []byte) func(int) {
	r := bytes.NewReader(b)
	return func(n int) {
		for range n {
			r.Reset(b)
			if _, err := pahopackets.ReadPacket(r); err != nil {
				panic(err)
			}
		}
	}
}

// mochi is a broker: only its codec can be compared.
var mochi = contestant{name: "mochi", codec: map[string]func(*job) func(int){
	"encode PUBLISH": func(j *job) func(int) {
		p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 4, PacketID: 7, TopicName: topic, Payload: j.payload()}
		return encodeMochi(p.PublishEncode)
	},
	"decode PUBLISH": func(j *job) func(int) {
		return decodeMochi(appendPublish(nil, 1, 7, j.payload()), (*packets.Packet).PublishDecode)
	},
	"encode PUBACK": func(*job) func(int) {
		p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, ProtocolVersion: 4, PacketID: 7}
		return encodeMochi(p.PubackEncode)
	},
	"decode PUBACK": func(*job) func(int) {
		return decodeMochi([]byte{typePuback, 2, 0, 7}, (*packets.Packet).PubackDecode)
	},
	"encode SUBSCRIBE": func(*job) func(int) {
		p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, ProtocolVersion: 4, PacketID: 7}
		for _, f := range filters {
			p.Filters = append(p.Filters, packets.Subscription{Filter: f, Qos: 1})
		}
		return encodeMochi(p.SubscribeEncode)
	},
}}

func encodeMochi(encode func(*bytes.Buffer) error) func(int) {
	var b bytes.Buffer
	return func(n int) {
		for range n {
			b.Reset()
			if err := encode(&b); err != nil {
				panic(err)
			}
		}
	}
}

func decodeMochi(b []byte, decode func(*packets.Packet, []byte) error) func(int) {
	var p packets.Packet // on the heap, once
	return func(n int) {
		sum := 0
		defer func() { runtime.KeepAlive(sum) }()
		for range n {
			_, at, _ := cut(b)
			p = packets.Packet{ProtocolVersion: 4}
			if err := p.FixedHeader.Decode(b[0]); err != nil {
				panic(err)
			}
			p.FixedHeader.Remaining = len(b) - at
			if err := decode(&p, b[at:]); err != nil {
				panic(err)
			}
			sum += len(p.Payload) + int(p.PacketID)
		}
	}
}
