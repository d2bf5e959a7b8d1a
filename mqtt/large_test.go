package mqtt

import (
	"io"
	"runtime"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// sendLarge sends a PUBLISH of QoS 1 whose payload is made while it is sent.
func (srv *server) sendLarge(id uint16, size int) {
	head := publishBytes("t", QoS1, id, false, "")[2:] // without the fixed header
	srv.Write(publishHeader(len(head) + size))
	srv.Write(head)
	chunk := make([]byte, 1<<14)
	for size > 0 {
		n, err := srv.Write(chunk[:min(size, len(chunk))])
		if size -= n; err != nil {
			return
		}
	}
}

// publishHeader is the fixed header of a PUBLISH of QoS 1.
func publishHeader(length int) []byte {
	b := []byte{byte(packet.PUBLISH)<<4 | 2}
	for ; length > 127; length >>= 7 {
		b = append(b, byte(length)|0x80)
	}
	return append(b, byte(length))
}

// A payload of 100 MB needs the memory of a small one.
func TestLargeMessageTakesNoMemory(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		const size = 100_000_000
		var before, most uint64
		sum := 0
		c := s.run(Config{MaxPacket: 64 << 10, Large: func(m *Message, n int, payload io.Reader) error {
			before = heap()
			b := make([]byte, 1<<14)
			for i := 0; ; i++ {
				n, err := payload.Read(b)
				sum += n
				if i%1000 == 0 {
					most = max(most, heap())
				}
				if err != nil {
					return nil
				}
			}
		}})
		srv, _ := s.connack(false)
		c.subscribe(srv, "t", QoS1)
		srv.SetDeadline(time.Time{})
		go srv.sendLarge(9, size)
		srv.want("PUBACK 9")
		if sum != size {
			t.Errorf("%d bytes, want %d", sum, size)
		}
		if most > before+256<<10 {
			t.Errorf("the heap grew by %d KiB", (most-before)>>10)
		}
		srv.Close()
		c.stop()
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A program may take its time with a large message: it is alive, and so is the server.
func TestLargeMessageMayBeSlow(t *testing.T) {
	for _, when := range []string{"before it reads", "while it reads", "after it has read", "and reads nothing"} {
		t.Run(when, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c, lost := s.watched(Config{MaxPacket: 1000, KeepAlive: 10 * time.Second, Timeout: 5 * time.Second,
					Large: func(m *Message, n int, payload io.Reader) error {
						b := make([]byte, 1000)
						switch when {
						case "before it reads", "and reads nothing":
							time.Sleep(5 * time.Minute)
						}
						for n := 1; n > 0 && when != "and reads nothing"; {
							n, _ = payload.Read(b)
							if when == "while it reads" {
								time.Sleep(30 * time.Second)
							}
						}
						if when == "after it has read" {
							time.Sleep(5 * time.Minute)
						}
						return nil
					}})
				srv, _ := s.connack(false)
				c.subscribe(srv, "t", QoS1)
				srv.SetDeadline(time.Time{})
				go srv.sendLarge(9, 20_000)
				pings := 0
				for {
					h, _, err := srv.r.Next()
					if err != nil {
						t.Fatal(err, <-lost)
					}
					if h.Type == packet.PUBACK {
						break
					}
					pings++
					go srv.Write([]byte{0xd0, 0}) // PINGRESP, behind the payload
				}
				if pings < 25 {
					t.Errorf("%d PINGREQs in five minutes", pings)
				}
				srv.Close()
				c.stop()
			})
		})
	}
}

// While the program waits for the payload, the silence is the server's.
func TestServerThatStopsWithinALargeMessageIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c, lost := s.watched(Config{MaxPacket: 1000, KeepAlive: 10 * time.Second, Timeout: 5 * time.Second,
			Large: func(m *Message, n int, payload io.Reader) error {
				_, err := io.Copy(io.Discard, payload)
				return err
			}})
		srv, _ := s.connack(false)
		c.subscribe(srv, "t", QoS1)
		began := time.Now()
		srv.Write(publishHeader(20_000))
		srv.Write(publishBytes("t", QoS1, 9, false, "")[2:])
		srv.Write(make([]byte, 3000))
		ended(t, lost, ErrLost, ErrTimeout)
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("after %v", d)
		}
		c.stop()
	})
}
