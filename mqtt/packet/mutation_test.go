package packet_test

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

var mutations = flag.Int("mutations", 200_000, "how many packets TestMutations breaks")

// TestMutations feeds the checks of the fuzz targets in this process, much faster than go test -fuzz, but blind to
// coverage: it breaks packets of all kinds at random, and judges fixed header and body each for itself.
// -mutations=100000000 does more of it.
func TestMutations(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	m := mutator{Rand: rand.New(rand.NewPCG(seed, 0))}
	for _, s := range specimens {
		m.seeds = append(m.seeds, []byte(s.wire))
	}
	for _, s := range matches {
		m.names = append(m.names, []byte(s.filter), []byte(s.topic))
	}
	m.seeds = append(m.seeds, m.names...)
	accepted := 0
	for n := range *mutations {
		b := m.mutate(m.seeds)
		checkHeader(t, b)
		if len(b) > 2 {
			typ, flags := packet.Type(b[0]>>4), b[0]&15
			if typ != packet.PUBLISH { // the header is judged by checkHeader
				flags = tableFlags[typ]
			}
			if typ >= packet.CONNECT && typ <= packet.DISCONNECT && checkBody(t, typ, flags, b[2:]) {
				accepted++
			}
		}
		switch n % 8 {
		case 0:
			checkReader(t, b, m.bytes(), m.IntN(200))
		case 1, 2:
			checkMatch(t, string(m.mutate(m.names)), string(m.mutate(m.names)))
		}
		if t.Failed() {
			t.Fatalf("after %d mutations, seed %d: % x", n, seed, b)
		}
	}
	t.Logf("%d mutated packets, %d of them accepted", *mutations, accepted)
	if accepted < *mutations/100 || accepted > *mutations*9/10 {
		t.Errorf("%d of %d accepted: they are too broken, or not broken enough, to show anything", accepted, *mutations)
	}
}

// mutator breaks bytes at random.
type mutator struct {
	*rand.Rand
	seeds [][]byte // packets, and what is in them
	names [][]byte // topics and topic filters
	out   []byte
}

// mutate returns one of seeds, changed in up to four places.
func (m *mutator) mutate(seeds [][]byte) []byte {
	b := append(m.out[:0], seeds[m.IntN(len(seeds))]...)
	for range m.IntN(5) {
		if len(b) == 0 {
			break
		}
		i := m.IntN(len(b))
		j := min(len(b), i+1+m.IntN(4))
		switch m.IntN(8) {
		case 0:
			b[i] ^= 1 << m.IntN(8)
		case 1:
			b[i] = interesting[m.IntN(len(interesting))]
		case 2:
			b[i] = byte(m.Uint32())
		case 3:
			b = slices.Delete(b, i, j)
		case 4:
			b = slices.Insert(b, i, m.bytes()...)
		case 5:
			b = slices.Insert(b, i, b[i:j]...)
		case 6:
			other := seeds[m.IntN(len(seeds))]
			b = append(b[:i], other[min(i, len(other)):]...)
		case 7:
			b = b[:i]
		}
	}
	m.out = b
	return slices.Clone(b)
}

var interesting = []byte{0, 1, 2, 3, 4, '#', '+', '/', '$', 0x7f, 0x80, 0xc0, 0xed, 0xef, 0xf4, 0xfe, 0xff}

// bytes returns up to four bytes.
func (m *mutator) bytes() []byte {
	b := make([]byte, m.IntN(5))
	for i := range b {
		b[i] = interesting[m.IntN(len(interesting))]
	}
	return b
}
