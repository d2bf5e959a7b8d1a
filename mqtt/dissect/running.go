package dissect

import (
	"fmt"
	"time"
)

// running is how things stand on a connection after a packet.
type running struct {
	known    bool
	inflight [3]int        // messages above QoS 0 that wait for an answer, by the direction of their PUBLISH
	bytes    [3]int        // in the packets so far, by direction
	promised bool          // the client has to send something in time
	due      time.Duration // the time
}

// running is how things stand after p.
func (s *Session) running(p *Packet) running {
	st := &s.state
	r := running{known: true, bytes: s.bytes}
	for d := range st.flows {
		r.inflight[d] = len(st.flows[d].open)
	}
	if !s.Untimed && st.promise > 0 && st.left == 0 && !st.refused {
		r.promised, r.due = true, max(0, st.promise-(p.Time-st.lastSent))
	}
	return r
}

// line is r for people: "in flight → 1 ← 0    PINGREQ due in 10.0 s    bytes so far → 60 ← 4".
func (r *running) line() string {
	text := fmt.Sprintf("in flight → %d ← %d", r.inflight[ToServer], r.inflight[ToClient])
	if r.promised {
		text += "    PINGREQ due in " + span(r.due)
	}
	return text + fmt.Sprintf("    bytes so far → %d ← %d", r.bytes[ToServer], r.bytes[ToClient])
}
