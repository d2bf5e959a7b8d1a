// Command bench measures package mqtt side by side with the limit, which is a socket that moves the same bytes, and with
// other clients: go run ./bench in internal/peers.
//
// Every case is measured in rounds; in each round every contestant has a short turn, one after the other, so that what
// else the machine does meets all of them. Each contestant is a process of its own on one core, the server is one on
// another core. What is printed are medians, and medians of the ratios within a round. Compare nothing between two runs.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	sinkCore   = 0
	clientCore = 1
)

func main() {
	quick := flag.Bool("quick", false, "fewer cases and shorter turns: 45 seconds at most")
	asJSON := flag.Bool("json", false, "print JSON, one object for each case and contestant")
	from := flag.String("from", "", "measure nothing: print the tables of what -json has written to this `file`")
	only := flag.String("only", "", "run only the cases whose section and name contain this `text`, such as \"receive\" or \"QoS 1\"")
	clients := flag.String("clients", "", "measure only these beside the limit: a `list` such as \"iotwire,paho\"")
	rounds := flag.Int("rounds", 0, "turns of each contestant in each case (default 7, with -quick 3)")
	turn := flag.Duration("turn", 0, "how long a turn is measured (default 150ms, with -quick 60ms)")
	dir := flag.String("dir", os.TempDir(), "where to put what is stored, built and deleted again: a `directory` on a disk")
	part := flag.String("part", "", "for this program itself: sink or work")
	flag.Parse()
	var err error
	switch *part {
	case "sink":
		err = sink(flag.Arg(0))
	case "work":
		err = work(flag.Arg(0))
	default:
		if *from != "" {
			b := new(bench)
			if err = b.readJSON(*from); err == nil {
				err = b.writeTable(os.Stdout)
			}
			break
		}
		b := &bench{quick: *quick, only: *only, rounds: *rounds, turn: *turn, dir: *dir}
		if *clients != "" {
			b.clients = append(strings.Split(*clients, ","), limit.name)
		}
		if b.rounds == 0 {
			b.rounds = 7
			if b.quick {
				b.rounds = 3
			}
		}
		if b.turn == 0 {
			b.turn = 150 * time.Millisecond
			if b.quick {
				b.turn = 60 * time.Millisecond
			}
		}
		if err = b.run(); err == nil {
			if *asJSON {
				err = b.writeJSON(os.Stdout)
			} else {
				err = b.writeTable(os.Stdout)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	quick   bool
	only    string
	clients []string // nil: all
	rounds  int
	turn    time.Duration
	dir     string

	server  server
	workers map[string]*worker
	rows    []row
}

// row is what one contestant did in one case.
type row struct {
	Section, Case, Contestant string

	Rate        float64 `json:",omitempty"` // messages a second
	CPU         float64 `json:",omitempty"` // microseconds of the client's processor a message
	Allocs      float64 // a message
	P50, P99    float64 `json:",omitempty"` // microseconds of a round trip
	Memory      float64 `json:",omitempty"` // KiB a client, or of the process
	Goroutines  float64 `json:",omitempty"` // a client
	Bytes       int64   `json:",omitempty"` // of a program
	Millis      float64 `json:",omitempty"` // from start to end of a program
	OfLimit     float64 `json:",omitempty"` // the rate as a part of the limit's; for P50, Memory, Bytes and Millis how often the limit's
	CPUOfLimit  float64 `json:",omitempty"` // CPU as a multiple of the limit's
	OfBestPeer  float64 `json:",omitempty"` // the same against the best of the peers
	Unavailable string  `json:",omitempty"` // why there is nothing
}

func (b *bench) run() error {
	dir, err := os.MkdirTemp(b.dir, "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	s, err := start(sinkCore, "-part", "sink", dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.out.Decode(&b.server); err != nil {
		return err
	}
	b.workers = map[string]*worker{}
	for _, c := range contestants {
		w, err := start(clientCore, "-part", "work", c.name)
		if err != nil {
			return err
		}
		defer w.stop()
		b.workers[c.name] = w
	}
	b.codecs()
	b.messages()
	b.idleClients()
	b.scale()
	b.durables()
	if b.quick { // to build programs may take long
		return nil
	}
	return b.programs()
}

// wanted reports whether -only asks for a case.
func (b *bench) wanted(section, name string) bool {
	return strings.Contains(section+" "+name, b.only)
}

// asked returns those of the contestants that -clients asks for.
func (b *bench) asked(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return b.clients != nil && !slices.Contains(b.clients, n) })
}

// compare measures one case.
func (b *bench) compare(section, name string, j job, names ...string) {
	if !b.wanted(section, name) {
		return
	}
	names = b.asked(names)
	j.Server, j.For, j.Dir = b.server, b.turn, b.dir
	results := map[string][]result{}
	for range b.rounds {
		for _, n := range names {
			if n == mosquittoName {
				results[n] = append(results[n], b.mosquitto(&j))
			} else {
				results[n] = append(results[n], b.workers[n].do(&j))
			}
		}
	}
	for _, n := range names {
		all := results[n]
		r := row{Section: section, Case: name, Contestant: n}
		for _, x := range all {
			if x.Error != "" {
				r.Unavailable = x.Error
			}
		}
		if r.Unavailable == "" {
			r.Rate = median(all, func(_ int, x *result) float64 { return x.rate() })
			r.CPU = median(all, func(_ int, x *result) float64 { return micros(x.CPU) / float64(x.Messages) })
			r.Allocs = median(all, func(_ int, x *result) float64 { return float64(x.Allocs) / float64(x.Messages) })
			r.P50 = median(all, func(_ int, x *result) float64 { return micros(x.P50) })
			r.P99 = median(all, func(_ int, x *result) float64 { return micros(x.P99) })
			r.OfLimit = median(all, func(i int, x *result) float64 {
				if l := &results[limit.name][i]; x.P50 == 0 {
					return x.rate() / l.rate()
				} else {
					return float64(x.P50) / float64(l.P50)
				}
			})
			r.CPUOfLimit = median(all, func(i int, x *result) float64 {
				l := &results[limit.name][i]
				if l.CPU == 0 { // not measured
					return 0
				}
				return x.CPU.Seconds() / float64(x.Messages) / (l.CPU.Seconds() / float64(l.Messages))
			})
		}
		b.rows = append(b.rows, r)
	}
	b.comparePeers(len(names))
}

// comparePeers sets the ratio to the best peer in the last n rows. mosquitto's programs are whole programs.
func (b *bench) comparePeers(n int) {
	rows := b.rows[len(b.rows)-n:]
	best := 0.0
	for _, r := range rows {
		if r.Contestant == limit.name || r.Contestant == ours.name || r.Contestant == mosquittoName || r.Unavailable != "" {
			continue
		}
		if v, less := r.value(); best == 0 || v > 0 && (v < best) == less {
			best = v
		}
	}
	for i := range rows {
		if v, _ := rows[i].value(); rows[i].Contestant == ours.name && best > 0 {
			rows[i].OfBestPeer = v / best
		}
	}
}

// value is what a row is compared by, and whether less is better.
func (r *row) value() (v float64, less bool) {
	switch {
	case r.P50 > 0:
		return r.P50, true
	case r.Rate > 0:
		return r.Rate, false
	case r.Bytes > 0:
		return float64(r.Bytes), true
	case r.Millis > 0:
		return r.Millis, true
	}
	return r.Memory, true
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func median(all []result, of func(int, *result) float64) float64 {
	v := make([]float64, len(all))
	for i := range all {
		v[i] = of(i, &all[i])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// codecs compares encoding and decoding of single packets.
func (b *bench) codecs() {
	names := []string{limit.name, ours.name, paho.name, mochi.name}
	sizes := []int{16, 256, 4096}
	if b.quick {
		sizes = []int{256}
	}
	for _, what := range []string{"encode PUBLISH", "decode PUBLISH"} {
		for _, size := range sizes {
			b.compare("codec", fmt.Sprintf("%s %s", what, bytesName(size)), job{What: what, Size: size}, names...)
		}
	}
	for _, what := range []string{"encode PUBACK", "decode PUBACK", "encode SUBSCRIBE"} {
		b.compare("codec", what, job{What: what}, names...)
	}
}

// messages compares publishing and receiving.
func (b *bench) messages() {
	names := []string{limit.name, ours.name, paho.name, atwat.name}
	sizes := []int{16, 256, 4096}
	if b.quick {
		sizes = []int{256}
	}
	for _, flow := range []struct {
		section string
		job     job
	}{
		{"publish", job{What: "publish", QoS: 0}},
		{"publish", job{What: "publish", QoS: 1, Window: 100}},
		{"publish", job{What: "publish", QoS: 2, Window: 100}},
		{"round trip", job{What: "publish", QoS: 1, Window: 1}},
		{"receive", job{What: "receive", QoS: 0}},
		{"receive", job{What: "receive", QoS: 1, Window: 100}},
	} {
		for _, size := range sizes {
			for _, secret := range []bool{false, true} {
				if b.quick && secret && flow.job.QoS == 2 {
					continue
				}
				j := flow.job
				j.Size, j.TLS = size, secret
				who := names
				if size == 256 && flow.section != "round trip" && !b.quick && hasMosquitto() {
					who = append(names[:len(names):len(names)], mosquittoName)
				}
				b.compare(flow.section, caseName(&j), j, who...)
			}
		}
	}
}

func caseName(j *job) string {
	name := fmt.Sprintf("QoS %d", j.QoS)
	if j.Window > 0 {
		name += fmt.Sprintf(", %d in flight", j.Window)
	}
	return name + ", " + bytesName(j.Size) + ", " + transport(j.TLS)
}

func transport(secret bool) string {
	if secret {
		return "TLS"
	}
	return "TCP"
}

func bytesName(n int) string {
	if n >= 1024 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// idleClients compares what a client takes that does nothing.
func (b *bench) idleClients() {
	count := 1000
	if b.quick {
		count = 200
	}
	for _, secret := range []bool{false, true} {
		name := fmt.Sprintf("%d clients, %s", count, transport(secret))
		if !b.wanted("idle", name) {
			continue
		}
		j := job{What: "idle", TLS: secret, Count: count, Server: b.server}
		var base row
		names := b.asked([]string{limit.name, ours.name, paho.name, atwat.name})
		for _, n := range names {
			x := b.alone(n, &j)
			r := row{Section: "idle", Case: name, Contestant: n, Memory: x.Memory, Goroutines: x.Goroutines, Unavailable: x.Error}
			if n == limit.name {
				base = r
			}
			r.OfLimit = r.Memory / base.Memory
			b.rows = append(b.rows, r)
		}
		b.comparePeers(len(names))
	}
}

// alone has a job done by a process that has done nothing before.
func (b *bench) alone(name string, j *job) (r result) {
	w, err := start(-1, "-part", "work", name)
	if err != nil {
		return result{Error: err.Error()}
	}
	defer w.stop()
	return w.do(j)
}

// durables shows what it costs that each message is on the disk before it is sent, and that many share one fsync.
func (b *bench) durables() {
	counts := []int{1, 10, 100}
	if b.quick {
		counts = []int{1, 100}
	}
	for _, count := range counts {
		b.compare("durable", fmt.Sprintf("QoS 1, 256 B, %d publishers", count), job{What: "durable", QoS: 1, Size: 256, Count: count}, limit.name, ours.name)
	}
}

// readJSON reads what writeJSON wrote.
func (b *bench) readJSON(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for in := json.NewDecoder(f); ; {
		var r row
		if err := in.Decode(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		b.rows = append(b.rows, r)
	}
}

func (b *bench) writeJSON(w *os.File) error {
	enc := json.NewEncoder(w)
	for _, r := range b.rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
