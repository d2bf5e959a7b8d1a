package mqtt

// poison is the topic on which the broker hangs up.
const poison = "poison"

// rejectionRules is what judge knows of Config.MaxAttempts.
type rejectionRules struct {
	attempts      int             // Config.MaxAttempts
	dials         uint64          // connections that were begun
	poisoned      map[uint64]bool // those on which the broker got poison, and so ended them
	rejectedLater int             // messages, not poison, that a later process said to be rejected
	most          int             // how many connections poison may end in all, once all faults are over
}

// healed says that all faults are over, and how many poisonous messages are left. Each ends two connections, after which
// messages go one at a time, and then as many as it may.
func (j *judge) healed(left int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.most = len(j.poisoned) + left*(2+j.attempts)
}

// endRejections judges that poison was given up in time.
func (j *judge) endRejections() {
	if n := len(j.poisoned); n > j.most {
		j.failf("poison has ended %d connections, want at most %d", n, j.most)
	}
}

// suspicious reports whether a message may have been rejected: as many connections as that takes can have ended while it
// was the only one in flight. Where the broker got poison, another one that it hangs up on was in flight too.
func (j *judge) suspicious(m *outbound) bool {
	ends := 0
	for n := max(m.dials, 1); n <= j.dials; n++ {
		if m.topic == poison || !j.poisoned[n] {
			ends++
		}
	}
	return j.attempts > 0 && ends >= j.attempts
}

// givenUp reports whether a QoS 2 message may have been rejected. The server may still hold its identifier, and swallows
// what comes under it.
func (j *judge) givenUp(payload string) bool {
	m := j.sent[payload]
	return m != nil && m.qos == QoS2 && j.suspicious(m) && !(m.told && m.outcome == nil)
}

// resumed says what became of the messages that a process found in its store.
func (j *judge) resumed(rejected int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rejectedLater += rejected
}
