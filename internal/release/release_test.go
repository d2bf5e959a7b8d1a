package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var packed = []file{{"publisher", 0o755, []byte("program")}, {"LICENSE", 0o644, []byte("text")}}

func TestArchiveHoldsTheFilesUnderOneFolder(t *testing.T) {
	want := map[string]string{"d/publisher -rwxr-xr-x": "program", "d/LICENSE -rw-r--r--": "text"}

	t.Run("tar.gz", func(t *testing.T) {
		g, err := gzip.NewReader(bytes.NewReader(target{"linux/arm/5"}.archive("d", packed)))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for r := tar.NewReader(g); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			content, _ := io.ReadAll(r)
			got[h.Name+" "+h.FileInfo().Mode().String()] = string(content)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("zip", func(t *testing.T) {
		b := target{"windows/amd64"}.archive("d", packed)
		r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, f := range r.File {
			o, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, _ := io.ReadAll(o)
			got[f.Name+" "+f.Mode().String()] = string(content)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestArchiveDependsOnItsContentAlone(t *testing.T) {
	for _, t2 := range targets {
		if !bytes.Equal(t2.archive("d", packed), t2.archive("d", slices.Clone(packed))) {
			t.Errorf("%s: two archives of the same files differ", t2.name)
		}
	}
}

func TestUnknownTargetIsRefusedWithTheKnownOnes(t *testing.T) {
	_, err := choose([]string{"linux/amd64", "linux/sparc"})
	if err == nil || !strings.Contains(err.Error(), `"linux/sparc": take some of linux/amd64`) {
		t.Errorf("got %v", err)
	}
}

func TestUsersSettingsDoNotReachTheBuild(t *testing.T) {
	t.Setenv("GOFLAGS", "-race")
	t.Setenv("GOARM", "7")
	env := target{"linux/arm/5"}.environment("")
	last := map[string]string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		last[name] = value
	}
	for name, want := range map[string]string{"GOFLAGS": "", "GOARM": "5", "GOOS": "linux", "GOARCH": "arm", "CGO_ENABLED": "0"} {
		if last[name] != want {
			t.Errorf("%s=%s, want %s", name, last[name], want)
		}
	}
}
