package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// stage shows the lines of several programs on one screen, each with the name of who says it in front.
type stage struct {
	mu    sync.Mutex
	out   io.Writer
	color bool
}

// actor returns where a program writes its log.
func (s *stage) actor(name string) io.Writer {
	return &voice{stage: s, prefix: fmt.Sprintf("%-10s  ", name)}
}

// message returns where the payloads go that have arrived.
func (s *stage) message() io.Writer {
	v := &voice{stage: s, prefix: "         >  "}
	if s.color {
		v.before, v.after = "\x1b[32m", "\x1b[0m"
	}
	return v
}

// voice is one writer on a stage. What is written to it are whole lines.
type voice struct {
	stage                 *stage
	prefix, before, after string
}

func (v *voice) Write(b []byte) (int, error) {
	var text []byte
	for line := range bytes.Lines(b) {
		text = fmt.Appendf(text, "%s%s%s%s\n", v.before, v.prefix, bytes.TrimSuffix(line, []byte("\n")), v.after)
	}
	v.stage.mu.Lock()
	defer v.stage.mu.Unlock()
	if _, err := v.stage.out.Write(text); err != nil {
		return 0, err
	}
	return len(b), nil
}
