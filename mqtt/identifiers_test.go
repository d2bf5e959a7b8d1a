package mqtt

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// identifiers is a map.
func TestIdentifiersAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table identifiers[*uint16]
		want := map[uint16]*uint16{}
		// Few numbers modulo 16, 32 and 64, so that they meet, and rows of numbers, over the end too.
		id := rapid.OneOf(rapid.SampledFrom([]uint16{1, 17, 33, 65, 129, 15, 31, 63, 79, 65535, 65519}), rapid.Uint16Range(1, 80), rapid.Uint16Min(65500))
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				first := id.Draw(t, "id")
				for n := range rapid.Uint16Range(1, 40).Draw(t, "row") {
					i := first + n
					table.set(i, &i)
					want[i] = &i
				}
			},
			"delete": func(t *rapid.T) {
				first := id.Draw(t, "id")
				for n := range rapid.Uint16Range(1, 40).Draw(t, "row") {
					table.delete(first + n)
					delete(want, first+n)
				}
			},
			"clear": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "clear") == 0 {
					table.clear()
					clear(want)
				}
			},
			"": func(t *rapid.T) {
				all := table.all()
				if table.len() != len(want) || len(all) != len(want) {
					t.Fatalf("%d, and %d in all, want %d", table.len(), len(all), len(want))
				}
				for id, thing := range want {
					if table.get(id) != thing || !slices.Contains(all, thing) {
						t.Fatalf("identifier %d is not found, or has another's", id)
					}
				}
				off := 0
				for i, s := range table.slots {
					if s.used && i != int(s.id)&(len(table.slots)-1) {
						off++
					}
				}
				if off != table.off {
					t.Fatalf("%d stand behind their place, want %d", table.off, off)
				}
			},
		})
	})
}

// All 65 535 identifiers can be in use, and the memory for them is given back when few are needed.
func TestIdentifiersShrinkAgain(t *testing.T) {
	var table identifiers[*int]
	thing := new(int)
	for id := range 65535 {
		table.set(uint16(id+1), thing)
	}
	if table.off > 0 {
		t.Errorf("%d are not in their place, though there is one for each", table.off)
	}
	for id := range 65535 {
		table.delete(uint16(id + 1))
	}
	for range 1000 {
		table.set(7, thing)
		table.delete(7)
	}
	if n := len(table.slots); n > 1024 {
		t.Errorf("room for %d is kept", n)
	}
}
