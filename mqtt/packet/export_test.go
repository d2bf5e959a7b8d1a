package packet

// AppendHeader lets the tests encode lengths of which no test wants the body.
func AppendHeader(b []byte, first byte, length int) []byte { return appendHeader(b, first, length) }

// BufferSize is what r holds of memory.
func BufferSize(r *Reader) int { return len(r.buf) }

// CheckLength is the judgement over a packet's length, for the one length that no test wants to hold in memory.
func CheckLength(t Type, n int) error { return checkLength(t, n) }
