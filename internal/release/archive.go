package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"strings"
	"time"
)

// file is one of an archive.
type file struct {
	name    string
	mode    fs.FileMode
	content []byte
}

// epoch is the time of all files: zip knows none before it.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func (t target) suffix() string {
	if strings.HasPrefix(t.name, "windows/") {
		return ".zip"
	}
	return ".tar.gz"
}

// archive packs files under a folder. Its bytes depend on its arguments alone.
func (t target) archive(folder string, files []file) []byte {
	var b bytes.Buffer // to which no write fails
	if t.suffix() == ".zip" {
		z := zip.NewWriter(&b)
		for _, f := range files {
			h := &zip.FileHeader{Name: folder + "/" + f.name, Method: zip.Deflate, Modified: epoch}
			h.SetMode(f.mode)
			w, err := z.CreateHeader(h)
			mustWrite(w, f.content, err)
		}
		must(z.Close())
		return b.Bytes()
	}
	g, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	must(err)
	w := tar.NewWriter(g)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: folder + "/" + f.name, Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: epoch, Format: tar.FormatUSTAR})
		mustWrite(w, f.content, err)
	}
	must(w.Close())
	must(g.Close())
	return b.Bytes()
}

func mustWrite(w io.Writer, content []byte, err error) {
	must(err)
	_, err = w.Write(content)
	must(err)
}

// must is for what goes to memory: an error is one of this program.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
