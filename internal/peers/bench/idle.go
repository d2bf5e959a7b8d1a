package main

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// measureIdle connects clients that then do nothing, and says what one of them takes.
func (c *contestant) measureIdle(j *job) (r result, err error) {
	first, err := c.idle(j) // what all have in common
	if err != nil {
		return r, err
	}
	defer first()
	memory, goroutines := resident(), runtime.NumGoroutine()
	began := time.Now()
	for range j.Count {
		close, err := c.idle(j)
		if err != nil {
			return r, err
		}
		defer close()
	}
	r.Took = time.Since(began)
	r.Messages = j.Count
	r.Memory = float64(resident()-memory) / 1024 / float64(j.Count)
	r.Goroutines = float64(runtime.NumGoroutine()-goroutines) / float64(j.Count)
	return r, nil
}

// resident is the memory that this process has, when the collector has given back what it can.
func resident() int {
	time.Sleep(200 * time.Millisecond)
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(string(bytes.Fields(b)[1]))
	return pages * os.Getpagesize()
}
