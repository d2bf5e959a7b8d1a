package mqtt

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// calls counts the goroutines of this process that are in a function of the package.
func calls(function string) int {
	synctest.Wait()
	b := make([]byte, 1<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "\niotwire/mqtt."+function+"(")
}

func TestWriterEndsWhenNothingMoves(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: time.Minute})
		srv, _ := s.connack(false)
		writers := func(want int, when string) {
			t.Helper()
			if n := calls("(*link).write"); n != want {
				t.Errorf("%d writers %s, want %d", n, when, want)
			}
			if n := calls("(*Client).connect"); n != 0 {
				t.Errorf("%d goroutines still connect %s", n, when)
			}
		}
		writers(0, "before anything was sent")
		for range 3 {
			delivery, err := c.Submit(background, Message{Topic: "t", QoS: QoS1})
			if err != nil {
				t.Fatal(err)
			}
			_, body := srv.next()
			p, _ := packet.ParsePublish(0b0010, body)
			srv.answer(packet.PUBACK, p.ID)
			if err := delivery.Wait(background); err != nil {
				t.Fatal(err)
			}
			writers(1, "when a message was sent")
			time.Sleep(3 * linger)
			writers(0, "in the pause after it")
		}
		began := time.Now()
		srv.want("PINGREQ")
		srv.answer0(packet.PINGRESP)
		if d := time.Since(began); d != time.Minute-3*linger {
			t.Errorf("PINGREQ came after %v", d)
		}
		time.Sleep(time.Second)
		writers(0, "after PINGRESP")
		c.mu.Lock()
		clock := c.link.clock
		c.mu.Unlock()
		go func() { srv.want("DISCONNECT"); srv.Close() }()
		if err := c.stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		writers(0, "after the end")
		if clock.Stop() {
			t.Error("the clock of the connection ran on after the end")
		}
	})
}

func TestPanicInDialGoesOnInRun(t *testing.T) {
	mistake := errors.New("a mistake of the program")
	for name, cfg := range map[string]Config{
		"Dial": {CleanSession: true, Dial: func(context.Context) (net.Conn, error) { panic(mistake) }},
		"Credentials": {
			CleanSession: true,
			Dial:         func(context.Context) (net.Conn, error) { c, _ := net.Pipe(); return c, nil },
			Credentials:  func(context.Context) (string, []byte, error) { panic(mistake) },
		},
	} {
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if got := recover(); got != mistake {
					t.Errorf("%s: Run panics with %v, want %v", name, got, mistake)
				}
			}()
			err := c.Run(background)
			t.Errorf("%s: Run returned %v", name, err)
		}()
	}
}

func TestGoexitInDialEndsTheGoroutineOfRun(t *testing.T) {
	c, err := New(Config{CleanSession: true, Dial: func(context.Context) (net.Conn, error) { runtime.Goexit(); return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() {
		how := "without a return"
		defer func() { ended <- how }()
		c.Run(background)
		how = "with a return"
	}()
	if how := <-ended; how != "without a return" {
		t.Errorf("Run ended %s", how)
	}
}

func TestDialThatReturnsNothingIsAnErrorAndNotAPanic(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{
			Dial:  func(context.Context) (net.Conn, error) { return nil, nil },
			Retry: func(error) bool { return false },
		})
		if err := c.Run(background); err == nil || !strings.Contains(err.Error(), "Config.Dial") {
			t.Errorf("Run returned %v", err)
		}
	})
}
