package dissect

// state is what a session knows about its connection.
type state struct{}

func (s *Session) judge(p *Packet) {}

// Unanswered says in a line which packets still wait for an answer: "not acknowledged: 4 PUBLISH (id 2)", or "".
func (s *Session) Unanswered() string { return "" }
