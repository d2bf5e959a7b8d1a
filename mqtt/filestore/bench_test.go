package filestore

import (
	"fmt"
	"strings"
	"testing"

	"iotwire/mqtt"
)

// One Put is one fsync, whatever is in it: the groups show what that costs, and what the rest costs.
func BenchmarkPut(b *testing.B) {
	for _, group := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("256B/groups=%d", group), func(b *testing.B) {
			s := benchmarkStore(b)
			records := make([]mqtt.Record, group)
			keys := make([]mqtt.Key, group)
			data := []byte(strings.Repeat("x", 256))
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				for i := range records {
					records[i] = mqtt.Record{Key: key(n + i), Data: data}
					keys[i] = records[i].Key
				}
				n += group
				if err := s.Put(records...); err != nil {
					b.Fatal(err)
				}
				if err := s.Delete(keys...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkPutFromManyGoroutines(b *testing.B) {
	s := benchmarkStore(b)
	data := []byte(strings.Repeat("x", 256))
	b.SetParallelism(50)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := s.Put(mqtt.Record{Key: key(1), Data: data}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(dir, "client", Options{})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 100 {
		var records []mqtt.Record
		for i := range 100 {
			records = append(records, record(n*100+i, strings.Repeat("x", 256)))
		}
		if err := s.Put(records...); err != nil {
			b.Fatal(err)
		}
	}
	s.Close()
	b.SetBytes(10000 * (headSize + 256))
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(dir, "client", Options{})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func benchmarkStore(b *testing.B) *Store {
	s, err := Open(b.TempDir(), "client", Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}
