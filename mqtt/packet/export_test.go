package packet

// AppendHeader lets the tests encode lengths of which no test wants the body.
func AppendHeader(b []byte, first byte, length int) []byte { return appendHeader(b, first, length) }

// BufferSize is what r holds of memory.
func BufferSize(r *Reader) int { return len(r.buf) }
