package dissect

// AppendSession appends the part of the page that is made of packets, without what each page has.
func (pg *Page) AppendSession(b []byte) []byte {
	w := pg.writer(b)
	w.head(pg)
	w.failure(pg)
	if len(w.entries) > 0 {
		w.session(pg)
		w.reproduce(pg)
	}
	w.add("</main>\n")
	return w.b
}
