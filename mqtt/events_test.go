package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"iotwire/mqtt/packet"
)

// What can happen to a client while it connects, and between connections.

// The time-out spans everything from Dial to CONNACK, and is absolute: bytes that come do not put it off.
func TestConnectTimeout(t *testing.T) {
	const timeout = 5 * time.Second
	rows := map[string]func(s *script) (Config, func()){
		"Dial": func(s *script) (Config, func()) {
			return Config{Dial: func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}, func() {}
		},
		"Dial with an error of its own": func(s *script) (Config, func()) {
			return Config{Dial: func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
			}}, func() {}
		},
		"Dial that comes too late": func(s *script) (Config, func()) {
			return Config{Dial: func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return s.dial(background)
			}}, func() { io.Copy(io.Discard, s.accept()) }
		},
		"Credentials": func(s *script) (Config, func()) {
			return Config{Credentials: func(ctx context.Context) (string, []byte, error) {
				<-ctx.Done()
				return "", nil, ctx.Err()
			}}, func() { s.accept().closed() }
		},
		"a server that reads nothing": func(s *script) (Config, func()) {
			s.limit = 5
			return Config{}, func() { s.accept() }
		},
		"no CONNACK": func(s *script) (Config, func()) {
			return Config{}, func() {
				srv := s.accept()
				srv.want("CONNECT")
				srv.closed()
			}
		},
		"half of it in Dial": func(s *script) (Config, func()) {
			return Config{Dial: func(ctx context.Context) (net.Conn, error) {
				time.Sleep(4 * time.Second)
				return s.dial(ctx)
			}}, func() { s.accept().want("CONNECT") }
		},
		"CONNACK by the byte": func(s *script) (Config, func()) {
			return Config{}, func() {
				srv := s.accept()
				srv.want("CONNECT")
				for _, b := range []byte{0x20, 2, 0} {
					time.Sleep(1700 * time.Millisecond)
					if _, err := srv.Write([]byte{b}); err != nil {
						break
					}
				}
			}
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				cfg, serve := row(s)
				cfg.Timeout = timeout
				began := time.Now()
				took := make(chan time.Duration, 10)
				lost := make(chan error, 10)
				cfg.Backoff.Floor = time.Hour
				cfg.Trace = &Trace{Disconnected: func(err error, retry bool, _ time.Duration) {
					if !retry {
						t.Error("not retried")
					}
					took <- time.Since(began)
					lost <- err
				}}
				s.run(cfg)
				serve()
				if d := <-took; d != timeout {
					t.Fatalf("it took %v", d)
				}
				err := <-lost
				matches(t, err, ErrTimeout)
				if errors.Is(err, ErrLost) {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestConnectionThatEndsBeforeCONNACK(t *testing.T) {
	rows := map[string]struct {
		serve func(srv *server)
		want  error
	}{
		"FIN at once":        {func(srv *server) { srv.Close() }, nil},
		"FIN after CONNECT":  {func(srv *server) { srv.want("CONNECT"); srv.Close() }, io.EOF},
		"RST after CONNECT":  {func(srv *server) { srv.want("CONNECT"); srv.wire().Reset(nil) }, syscall.ECONNRESET},
		"FIN after 1 byte":   {func(srv *server) { srv.want("CONNECT"); srv.send([]byte{0x20}); srv.Close() }, io.ErrUnexpectedEOF},
		"FIN after 2 bytes":  {func(srv *server) { srv.want("CONNECT"); srv.send([]byte{0x20, 2}); srv.Close() }, io.ErrUnexpectedEOF},
		"FIN after 3 bytes":  {func(srv *server) { srv.want("CONNECT"); srv.send([]byte{0x20, 2, 0}); srv.Close() }, io.ErrUnexpectedEOF},
		"an error of Read's": {func(srv *server) { srv.want("CONNECT"); srv.wire().Reset(errBroken) }, errBroken},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c, lost := s.watched(Config{})
				row.serve(s.accept())
				err := <-lost
				matches(t, err, ErrHungUp)
				if row.want != nil {
					matches(t, err, row.want)
				}
				if errors.Is(err, ErrLost) || strings.Contains(err.Error(), "\n") {
					t.Fatal(err)
				}
				s.connack(false)
				matches(t, c.Ready(background))
				if s := c.Stats(); s.Connects != 1 || s.BytesOut < 2*15 || s.BytesIn < 4 {
					t.Fatalf("%+v", s)
				}
			})
		})
	}
}

func TestErrorOfDialIsPassedOn(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		attempts := 0
		_, lost := s.watched(Config{Dial: func(ctx context.Context) (net.Conn, error) {
			if attempts++; attempts < 4 {
				return nil, refused
			}
			return s.dial(ctx)
		}})
		for range 3 {
			if err := <-lost; err != error(refused) {
				t.Fatalf("%v", err)
			}
		}
		s.connack(false)
	})
}

func TestCredentialsAreAskedForEachAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		no := errors.New("the token server is down")
		n := 0
		_, lost := s.watched(Config{Credentials: func(ctx context.Context) (string, []byte, error) {
			if n++; n == 2 {
				return "", nil, no
			}
			return fmt.Sprintf("user%d", n), []byte(fmt.Sprintf("secret%d", n)), nil
		}})
		srv, connect := s.connack(false)
		if string(connect.UserName) != "user1" || string(connect.Password) != "secret1" {
			t.Fatalf("%+v", connect)
		}
		srv.Close()
		ended(t, lost, ErrLost)
		s.accept().closed() // and no CONNECT
		ended(t, lost, no)
		_, connect = s.connack(false)
		if string(connect.UserName) != "user3" || string(connect.Password) != "secret3" {
			t.Fatalf("%+v", connect)
		}
	})
}

func TestCONNECT(t *testing.T) {
	password := func(user string, password []byte) func(context.Context) (string, []byte, error) {
		return func(context.Context) (string, []byte, error) { return user, password, nil }
	}
	will := &Message{Topic: "gone", Payload: []byte("bye"), QoS: QoS2, Retain: true}
	for name, row := range map[string]struct {
		cfg  Config
		want packet.Connect
	}{
		"defaults":       {Config{}, packet.Connect{KeepAlive: 60}},
		"clean session":  {Config{CleanSession: true, KeepAlive: -1}, packet.Connect{CleanSession: true}},
		"longest":        {Config{KeepAlive: 65535 * time.Second}, packet.Connect{KeepAlive: 65535}},
		"rounded up":     {Config{KeepAlive: 1}, packet.Connect{KeepAlive: 1}},
		"user":           {Config{Credentials: password("u", nil)}, packet.Connect{KeepAlive: 60, HasUserName: true, UserName: []byte("u")}},
		"nobody":         {Config{Credentials: password("", nil)}, packet.Connect{KeepAlive: 60}},
		"password":       {Config{Credentials: password("u", []byte("p"))}, packet.Connect{KeepAlive: 60, HasUserName: true, UserName: []byte("u"), HasPassword: true, Password: []byte("p")}},
		"empty password": {Config{Credentials: password("", []byte{})}, packet.Connect{KeepAlive: 60, HasUserName: true, HasPassword: true}},
		"will": {Config{Will: will}, packet.Connect{KeepAlive: 60, Will: true, WillTopic: []byte("gone"), WillMessage: []byte("bye"),
			WillQoS: QoS2, WillRetain: true}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				s.run(row.cfg)
				_, got := s.connack(false)
				row.want.ClientID = []byte("c")
				if diff := cmp.Diff(row.want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("CONNECT is not as wanted (-) but (+):\n%s", diff)
				}
			})
		})
	}
}

func TestNoClientIDWithCleanSession(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c, err := New(Config{Dial: s.dial, CleanSession: true})
		if err != nil {
			t.Fatal(err)
		}
		start(t, c)
		if _, connect := s.connack(false); len(connect.ClientID) != 0 {
			t.Fatalf("%+v", connect)
		}
	})
}

// Wherever Run waits, the end of its context ends it at once.
func TestRunEndsWithItsContext(t *testing.T) {
	rows := map[string]func(s *script) (Config, func()){
		"in Dial": func(s *script) (Config, func()) {
			return Config{Dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, errors.New("gave up") }}, func() {}
		},
		"in Credentials": func(s *script) (Config, func()) {
			return Config{Credentials: func(ctx context.Context) (string, []byte, error) { <-ctx.Done(); return "", nil, ctx.Err() }}, func() { s.accept() }
		},
		"before CONNACK": func(s *script) (Config, func()) { return Config{}, func() { s.accept().want("CONNECT") } },
		"in the pause": func(s *script) (Config, func()) {
			return Config{Backoff: Backoff{Floor: time.Hour}}, func() { s.accept().Close() }
		},
		"connected, and the server closes": func(s *script) (Config, func()) {
			return Config{}, func() {
				srv, _ := s.connack(false)
				go func() { srv.want("DISCONNECT"); srv.Close() }()
			}
		},
		"with a full inbox, and the server closes": func(s *script) (Config, func()) {
			return Config{Inbox: 100}, func() {
				srv, _ := s.connack(false)
				srv.want("SUBSCRIBE 1 t q1")
				srv.suback(1, 1)
				for range 3 {
					srv.publish("t", QoS0, 0, strings.Repeat("x", 90))
				}
				synctest.Wait()
				go func() { srv.want("DISCONNECT"); srv.Close() }()
			}
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				cfg, serve := row(s)
				c := s.client(cfg)
				if cfg.Inbox > 0 {
					c.Subscribe("t", QoS1)
				}
				r := start(t, c)
				serve()
				synctest.Wait()
				began := time.Now()
				matches(t, r.stop(), context.Canceled)
				if d := time.Since(began); d != 0 {
					t.Fatalf("Run took %v to end", d)
				}
				s.silent(time.Hour)
			})
		})
	}
	t.Run("before it began", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			ctx, cancel := context.WithCancel(background)
			cancel()
			matches(t, s.client(Config{}).Run(ctx), context.Canceled)
		})
	})
	t.Run("connected, and the server neither reads nor closes", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			s.connack(false)
			synctest.Wait()
			began := time.Now()
			matches(t, c.stop(), context.Canceled)
			if d := time.Since(began); d != farewell {
				t.Fatalf("Run took %v to end", d)
			}
		})
	})
}

// CONNACK and the end of the context in one instant: one outcome, and no connection that nobody owns.
func TestCONNACKAndTheEndOfTheContextAtOnce(t *testing.T) {
	for range 200 {
		bubble(t, func(t *testing.T, s *script) {
			connected := 0
			c := s.run(Config{Trace: &Trace{Connected: func(bool) { connected++ }}})
			srv := s.accept()
			srv.want("CONNECT")
			go c.cancel()
			srv.Write(connackBytes(false, packet.Accepted))
			matches(t, c.wait(), context.Canceled)
			srv.SetReadDeadline(time.Now().Add(time.Minute))
			h, _, err := srv.r.Next()
			if connected == 1 && err == nil && h.Type == packet.DISCONNECT { // accepted, then ended in good order
				h, _, err = srv.r.Next()
			}
			if t, ok := err.(net.Error); err == nil || ok && t.Timeout() {
				srv.t.Fatalf("the connection lives on: %v %v", h.Type, err)
			}
			if c.Stats().Connects != connected {
				t.Fatalf("%+v, %d", c.Stats(), connected)
			}
		})
	}
}

// Every method of the client that waits, ends with its context.
func TestEveryWaitEndsWithItsContext(t *testing.T) {
	type client struct {
		*running
		first    Delivery
		sub, old *Subscription
	}
	rows := map[string]func(c *client, ctx context.Context) error{
		"Publish QoS 0": func(c *client, ctx context.Context) error { return c.Publish(ctx, Message{Topic: "t"}) },
		"Publish QoS 1": func(c *client, ctx context.Context) error { return c.Publish(ctx, Message{Topic: "t", QoS: QoS1}) },
		"Submit QoS 0":  func(c *client, ctx context.Context) error { _, err := c.Submit(ctx, Message{Topic: "t"}); return err },
		"Submit, full": func(c *client, ctx context.Context) error {
			_, err := c.Submit(ctx, Message{Topic: "t", QoS: QoS1})
			return err
		},
		"Delivery.Wait": func(c *client, ctx context.Context) error { return c.first.Wait(ctx) },
		"Ready":         func(c *client, ctx context.Context) error { return c.Ready(ctx) },
		"sub.Ready":     func(c *client, ctx context.Context) error { return c.sub.Ready(ctx) },
		"sub.Close":     func(c *client, ctx context.Context) error { return c.old.Close(ctx) },
		"Shutdown":      func(c *client, ctx context.Context) error { return c.Shutdown(ctx) },
		"Messages": func(c *client, ctx context.Context) error {
			for _, err := range c.sub.Messages(ctx) {
				return err
			}
			return nil
		},
	}
	for name, wait := range rows {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := &client{running: s.run(Config{Queue: Queue{Messages: 1}, Backoff: Backoff{Floor: 100 * time.Hour}})}
				srv, _ := s.connack(false)
				c.old = c.subscribe(srv, "old", QoS1)
				srv.Close()
				synctest.Wait() // offline
				c.sub, _ = c.Subscribe("t", QoS1)
				c.first = c.submit("t", QoS1, "first")
				ctx, cancel := context.WithCancel(background)
				began := time.Now()
				done := later(func() error { return wait(c, ctx) })
				time.Sleep(time.Hour)
				pending(t, done)
				cancel()
				ended(t, done, context.Canceled)
				if d := time.Since(began); d != time.Hour {
					t.Fatalf("it took %v", d-time.Hour)
				}
			})
		})
	}
}
