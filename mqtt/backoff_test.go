package mqtt

import (
	"context"
	"errors"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// waits runs a client against a server that ends each connection as end says, n times, and returns the pauses.
func waits(t *testing.T, s *script, b Backoff, n int, end func(i int, srv *server)) []time.Duration {
	t.Helper()
	var told, took []time.Duration
	var attempts []int
	ended := time.Now()
	c := s.run(Config{Backoff: b, KeepAlive: -1, Trace: &Trace{
		Connecting: func(attempt int) {
			attempts = append(attempts, attempt)
			if len(attempts) > 1 {
				took = append(took, time.Since(ended))
			}
		},
		Disconnected: func(_ error, retry bool, wait time.Duration) {
			told = append(told, wait)
			ended = time.Now()
		},
	}})
	for i := range n + 1 {
		end(i, s.accept())
	}
	c.stop()
	for i := range n {
		if told[i] != took[i] {
			t.Fatalf("the pause after attempt %d is %v, told %v", i, took[i], told[i])
		}
	}
	return took[:n]
}

func refuse(_ int, srv *server) { srv.Close() }

// accept lets a connection live for d.
func live(d time.Duration) func(int, *server) {
	return func(_ int, srv *server) {
		srv.want("CONNECT")
		srv.send(connackBytes(false, packet.Accepted))
		time.Sleep(d)
		srv.Close()
	}
}

// average returns the mean of the i-th pause over many clients: jitter makes a single one say nothing.
func average(t *testing.T, b Backoff, n int, end func(int, *server)) []time.Duration {
	const clients = 200
	sums := make([]time.Duration, n)
	for range clients {
		bubble(t, func(t *testing.T, s *script) {
			for i, w := range waits(t, s, b, n, end) {
				top := min(b.Max, b.Min<<i)
				if w < b.Floor || w > max(top, b.Floor) {
					t.Fatalf("pause %d is %v, want %v to %v", i, w, b.Floor, top)
				}
				sums[i] += w / clients
			}
		})
	}
	return sums
}

func TestPausesGrowWithFullJitterUpToTheirLimit(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 32 * time.Second, Stable: time.Minute}
	for name, end := range map[string]func(int, *server){
		"refused":                     refuse,
		"accepted, then closed":       live(0),
		"accepted, closed soon after": live(59 * time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			for i, mean := range average(t, b, 8, end) {
				want := min(b.Max, b.Min<<i) / 2 // the mean of full jitter
				if mean < want*3/4 || mean > want*5/4 {
					t.Errorf("pause %d is %v on average, want about %v", i, mean, want)
				}
			}
		})
	}
}

func TestPausesStartAgainAfterAStableConnection(t *testing.T) {
	b := Backoff{Min: time.Second, Max: time.Hour, Stable: time.Minute}
	for range 20 {
		bubble(t, func(t *testing.T, s *script) {
			got := waits(t, s, b, 14, func(i int, srv *server) {
				if i == 10 {
					live(time.Minute)(i, srv)
				} else {
					refuse(i, srv)
				}
			})
			for i, w := range got[10:] {
				if w > b.Min<<i {
					t.Fatalf("pause %d after a stable connection is %v", i, w)
				}
			}
		})
	}
}

func TestPausesOfManyClientsAreSpread(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		const clients = 1000
		began := make(chan time.Time, clients)
		restart := make(chan struct{})
		for range clients {
			first := true
			s.run(Config{Backoff: Backoff{Min: 10 * time.Second}, Timeout: time.Hour, Dial: func(ctx context.Context) (net.Conn, error) {
				if first {
					first = false
					<-restart
					return nil, errors.New("the broker restarts")
				}
				began <- time.Now()
				<-ctx.Done()
				return nil, ctx.Err()
			}})
		}
		synctest.Wait()
		from := time.Now()
		close(restart)
		var buckets [10]int
		for range clients {
			buckets[min(int((<-began).Sub(from)/time.Second), 9)]++
		}
		for i, n := range buckets {
			if n < clients/20 || n > clients/5 {
				t.Fatalf("%d of %d clients come back in second %d: %v", n, clients, i, buckets)
			}
		}
	})
}

func TestFloorOfPauses(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		for i, w := range waits(t, s, Backoff{Min: 1, Floor: 5 * time.Second}, 5, refuse) {
			if w != 5*time.Second {
				t.Fatalf("pause %d is %v", i, w)
			}
		}
	})
}

func TestPauseDoesNotOverflow(t *testing.T) {
	for _, b := range []Backoff{
		{Min: 1, Max: math.MaxInt64},
		{Min: math.MaxInt64, Max: math.MaxInt64},
		{Min: time.Hour, Max: time.Second},
		{Min: 3, Max: math.MaxInt64 - 1},
	} {
		for n := 1; n < 200; n++ {
			if w := b.wait(n); w < 0 || w > b.Max {
				t.Fatalf("%+v: pause %d is %v", b, n, w)
			}
		}
	}
}

// What time does not cure ends Run; what it may is tried again and again.
func TestRetry(t *testing.T) {
	for code, again := range map[packet.ConnectCode]bool{1: false, 2: false, 3: true, 4: false, 5: false} {
		bubble(t, func(t *testing.T, s *script) {
			c, lost := s.watched(Config{})
			srv := s.accept()
			srv.want("CONNECT")
			srv.send(connackBytes(false, code))
			var refused *ConnectError
			if err := <-lost; !errors.As(err, &refused) || refused.Code != code {
				t.Fatal(err)
			}
			if again {
				s.connack(false)
				matches(t, c.Ready(background))
			} else if err := c.wait(); !errors.As(err, &refused) {
				t.Fatal(err)
			}
		})
	}
	t.Run("unavailable for an hour", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{Backoff: Backoff{Max: time.Minute}})
			began, attempts := time.Now(), 0
			for time.Since(began) < time.Hour {
				srv := s.accept()
				srv.want("CONNECT")
				srv.send(connackBytes(false, packet.RefusedUnavailable))
				attempts++
			}
			if attempts < 60 || attempts > 300 {
				t.Fatalf("%d attempts in an hour", attempts)
			}
			s.connack(false)
			matches(t, c.Ready(background))
		})
	})
	t.Run("as Config.Retry says", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			n := 0
			c := s.run(Config{Retry: func(err error) bool { n++; return n < 3 }})
			for range 2 {
				srv := s.accept()
				srv.want("CONNECT")
				srv.send(connackBytes(false, packet.RefusedUnauthorized))
			}
			srv, _ := s.connack(false)
			synctest.Wait()
			srv.Close()
			matches(t, c.wait(), ErrLost)
			s.silent(time.Hour)
		})
	})
}
