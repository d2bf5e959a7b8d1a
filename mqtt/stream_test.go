package mqtt

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// Each waiter is told once, when its message has ended and not before, whatever the order in which they came.
func TestStreamTellsEachWaiterWhenItsMessageHasEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stream
		var ends []uint64 // of the messages
		told := map[<-chan struct{}]uint64{}
		offered, written, ended := uint64(0), uint64(0), false
		check := func() {
			s.settle()
			for c, end := range told {
				over := ended || end <= written
				select {
				case <-c:
					if !over {
						t.Fatalf("the end of %d is told, and %d bytes were written", end, written)
					}
				default:
					if over {
						t.Fatalf("the end of %d is not told, and %d bytes were written", end, written)
					}
				}
			}
			for _, end := range ends {
				want := ErrPending
				switch {
				case end <= written:
					want = nil
				case ended && end > offered:
					want = ErrNotSent
				case ended:
					want = ErrUnconfirmed
				}
				if err := s.err(end); !errors.Is(err, want) {
					t.Fatalf("the message up to %d: %v, want %v; %d offered, %d written", end, err, want, offered, written)
				}
			}
		}
		position := uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				size := rapid.IntRange(1, 100).Draw(t, "size")
				position += uint64(rapid.IntRange(0, 10).Draw(t, "other packets") + size)
				s.add(position, size)
				ends = append(ends, position)
			case 1:
				offered = position
			case 2:
				written += rapid.Uint64Range(0, offered-written).Draw(t, "written")
				s.wrote(written)
			case 3:
				if len(ends) == 0 {
					break
				}
				end := rapid.SampledFrom(ends).Draw(t, "waits for")
				if end <= written {
					break
				}
				if rapid.Bool().Draw(t, "Done") {
					c := s.done(end)
					if s.done(end) != c {
						t.Fatal("Done is another channel the second time")
					}
					told[c] = end
				} else {
					c := make(chan struct{}, 1)
					s.await(waiter{end: end, signal: c})
					told[c] = end
				}
			}
			check()
			for c, end := range told {
				if end <= written {
					delete(told, c)
				}
			}
		}
		left := 0
		for _, end := range ends {
			if end > written {
				left++
			}
		}
		if n := s.len(); n != left {
			t.Fatalf("%d messages are not written, want %d", n, left)
		}
		ended = true
		if n, _ := s.end(offered, errBroken); n != left {
			t.Fatalf("%d messages were lost, want %d", n, left)
		}
		check()
	})
}
