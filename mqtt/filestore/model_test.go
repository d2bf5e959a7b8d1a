package filestore

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"iotwire/mqtt"
)

var keys = rapid.Custom(func(t *rapid.T) mqtt.Key {
	return mqtt.Key{Kind: mqtt.Kind(rapid.IntRange(0, 1).Draw(t, "kind")), N: rapid.Uint64Range(0, 5).Draw(t, "n")}
})

var records = rapid.Custom(func(t *rapid.T) mqtt.Record {
	n := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 20), rapid.IntRange(0, 600)).Draw(t, "length")
	return mqtt.Record{Key: keys.Draw(t, "key"), Data: []byte(strings.Repeat(rapid.StringN(1, 1, 1).Draw(t, "data"), n))}
})

var histories = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) call {
	switch rapid.IntRange(0, 9).Draw(t, "call") {
	case 0:
		return call{reset: true}
	case 1:
		return call{close: true}
	case 2, 3, 4:
		return call{delete: rapid.SliceOfN(keys, 1, 4).Draw(t, "keys")}
	}
	return call{put: rapid.SliceOfN(records, 0, 4).Draw(t, "records")}
}), 1, 12)

// A store is a map that outlives Close, the process, and failures that are none of its own.
func TestStoreIsAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const maxBytes, slack = 2000, 500
		d := newMemoryDisk()
		model := map[mqtt.Key]string{}
		durable := map[mqtt.Key]string{} // what a kill leaves
		bound := slack                   // of the file, without its header, after a Put
		var s *Store
		reopen := func(t *rapid.T) {
			var err error
			if s, err = open(d, slack, "d", "client", Options{
				MaxBytes: maxBytes,
				Warn:     func(err error) { t.Fatalf("warns of %v", err) },
			}); err != nil {
				t.Fatal(err)
			}
		}
		reopen(t)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				c := call{put: rapid.SliceOfN(records, 0, 5).Draw(t, "records")}
				after := maps.Clone(model)
				c.apply(after)
				full := bounded(after) > maxBytes && bounded(after) > bounded(model)
				err := s.Put(c.put...)
				if full != errors.Is(err, ErrFull) || !full && err != nil {
					t.Fatalf("Put: %v, want ErrFull: %t", err, full)
				}
				if !full {
					model, durable = after, maps.Clone(after)
					live := 0
					for _, v := range model {
						live += headSize + len(v)
					}
					bound = live + max(live, slack)
				}
			},
			"delete": func(t *rapid.T) {
				c := call{delete: rapid.SliceOfN(keys, 0, 5).Draw(t, "keys")}
				durable = maps.Clone(model) // for a kill: the Deletes before are written now
				c.apply(model)
				if err := c.do(s); err != nil {
					t.Fatal(err)
				}
			},
			"reset": func(t *rapid.T) {
				clear(model)
				clear(durable)
				if err := s.Reset(); err != nil {
					t.Fatal(err)
				}
			},
			"close": func(t *rapid.T) {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				durable = maps.Clone(model)
				reopen(t)
			},
			"kill": func(t *rapid.T) {
				clear(d.locked)
				model = maps.Clone(durable)
				reopen(t)
			},
			"": func(t *rapid.T) {
				got, broken := collect(s)
				if !maps.Equal(got, model) || len(broken) > 0 {
					t.Fatalf("has %v %v, want %v", abridged(got), broken, abridged(model))
				}
				live := 0
				for _, v := range model {
					live += headSize + len(v)
				}
				if int64(live) != s.live {
					t.Fatalf("%d bytes of records, counted as %d", live, s.live)
				}
				// Deletes, and what Close adds, may come after the last Put.
				if size := len(d.content("d/session")) - int(s.format.headerSize()); size > bound+13*headSize {
					t.Fatalf("%d bytes of records are in a file of %d", live, size)
				}
			},
		})
	})
}

func bounded(records map[mqtt.Key]string) (sum int) {
	for _, v := range records {
		if len(v) > 0 {
			sum += headSize + len(v)
		}
	}
	return sum
}

func TestPowerCutInAnyHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newMemoryDisk()
		if err := play(d, histories.Draw(t, "history")); err != nil {
			t.Fatal(err)
		}
		step := rapid.IntRange(0, len(d.log)).Draw(t, "step")
		owed := promised(d.log[:step])
		powerCuts(d.log[:step], fine, func(a after) {
			records, broken, _, err := recovered(a.boot())
			if err == nil {
				err = owed.check(records)
			}
			if err != nil || len(broken) > 0 {
				t.Fatalf("power cut after step %d, %s: %v %v", step, a.what, err, broken)
			}
		})
	})
}
