package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// worker is a process that makes measurements: one for each contestant, so that none has the heap, the goroutines or
// the garbage of another.
type worker struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	enc  *json.Encoder
	name string
}

// start runs this program once more, in another part and on one core, or on any if core is negative.
func start(core int, args ...string) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	argv := append([]string{self}, args...)
	if taskset, err := exec.LookPath("taskset"); err == nil && core >= 0 && runtime.NumCPU() > 1 {
		argv = append([]string{taskset, "-c", strconv.Itoa(core)}, argv...)
	}
	w := &worker{cmd: exec.Command(argv[0], argv[1:]...), name: args[len(args)-1]}
	w.cmd.Stderr = os.Stderr
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out, w.enc = json.NewDecoder(bufio.NewReader(out)), json.NewEncoder(w.in)
	return w, w.cmd.Start()
}

// do has the worker do a job.
func (w *worker) do(j *job) (r result) {
	err := w.enc.Encode(j)
	if err == nil {
		err = w.out.Decode(&r)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (w *worker) stop() {
	w.in.Close()
	w.cmd.Wait()
}

// work is what a worker does.
func work(name string) error {
	c := findContestant(name)
	if c == nil {
		return fmt.Errorf("no contestant %q", name)
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var j job
		if err := in.Decode(&j); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		r, err := c.measure(&j)
		if err != nil {
			r.Error = err.Error()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// measure does a job.
func (c *contestant) measure(j *job) (r result, err error) {
	if j.TLS {
		if j.Server.config, err = clientConfig(j.Server.Certificates); err != nil {
			return r, err
		}
	}
	switch j.What {
	case "idle":
		return c.measureIdle(j)
	case "scale":
		return measureScale(j)
	case "durable":
		return measureDurable(c.name, j)
	}
	return c.measureSteps(j)
}

// measureSteps repeats one step, as often as fits into the time. It is not a part of measure: of a frame of this size on
// the stack of one of ten goroutines the runtime learns that new ones need twice what they do.
func (c *contestant) measureSteps(j *job) (r result, err error) {
	var step func(n int) error
	switch j.What {
	case "publish", "receive":
		client, err := c.connect(j)
		if err != nil {
			return r, err
		}
		defer client.close()
		if step = client.publish; j.What == "receive" {
			step = client.receive
		}
	default:
		codec := c.codec[j.What](j)
		step = func(n int) error { codec(n); return nil }
	}
	// This warms up and says how many messages fill the time. The better of two, because the machine has other work.
	n, took := max(j.Window, 1), time.Duration(0)
	for ; j.Count == 0 && took < j.For/8; n *= 2 {
		took = time.Hour
		for range 2 {
			began := time.Now()
			if err := step(n); err != nil {
				return r, err
			}
			took = min(took, time.Since(began))
		}
	}
	if n = max(int(float64(n/2)*float64(j.For)/float64(took)), 1); j.Count > 0 {
		n = j.Count
	}

	var trips []time.Duration
	if j.What == "publish" && j.QoS > 0 && j.Window == 1 {
		trips = make([]time.Duration, 0, n)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := processTime(), time.Now()
	if trips == nil {
		err = step(n)
	} else {
		for last := began; len(trips) < n && err == nil; {
			err = step(1)
			now := time.Now()
			trips = append(trips, now.Sub(last))
			last = now
		}
	}
	r = result{Messages: n, Took: time.Since(began), CPU: processTime() - cpu}
	runtime.ReadMemStats(&after)
	r.Allocs = after.Mallocs - before.Mallocs
	if trips != nil {
		slices.Sort(trips)
		r.P50, r.P99 = trips[n/2], trips[n*99/100]
	}
	return r, err
}

// processTime is the time that this process has had of the processor.
func processTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
