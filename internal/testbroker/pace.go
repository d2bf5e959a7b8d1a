package testbroker

import (
	"io"
	"time"
)

// pace bounds bytes in a second: it is a bucket that holds a second's worth of them. The zero value has no bound.
type pace struct {
	rate int       // bytes in a second
	free time.Time // when what was spent is paid for
}

func newPace(rate int) pace { return pace{rate: rate} }

// spend takes n bytes out of the bucket, and waits until that is no longer empty, or until the connection is gone.
func (p *pace) spend(n int, gone <-chan struct{}) {
	if p.rate <= 0 {
		return
	}
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	wait := p.free.Sub(now) - time.Second
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	}
}

// paceChunk is what is written at once where there is a bound.
const paceChunk = 16 << 10

// write is w.Write at this pace.
func (p *pace) write(w io.Writer, b []byte, gone <-chan struct{}) error {
	if p.rate <= 0 {
		_, err := w.Write(b)
		return err
	}
	for len(b) > 0 {
		chunk := b[:min(len(b), paceChunk)]
		b = b[len(chunk):]
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		p.spend(len(chunk), gone)
	}
	return nil
}
