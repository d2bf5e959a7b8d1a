package aws

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// registry is the devices of a directory, as its files were when it last looked.
type registry struct {
	root string

	mu      sync.Mutex
	folders map[string]folder
	devices map[string]*device // by certificate ID

	unreadable string // why the directory itself could not be read when it last looked
}

// folder is one that has a thing's files.
type folder struct {
	signature string          // of its files, which changes when one of them does
	files     map[string]file // by name
	device    *device         // what they make; nil without a certificate
}

// file is one of a folder's files.
type file struct {
	signature string
	value     any // as device.go reads it: as it was before, if there is a mistake now; nil if there never was one
}

// openRegistry reads a directory. Here a mistake in a file is an error.
func openRegistry(root string) (*registry, error) {
	r := &registry{root: root, folders: map[string]folder{}}
	if mistakes := r.refresh(); len(mistakes) > 0 {
		var path *fs.PathError
		if errors.As(mistakes[0], &path) {
			return nil, mistakes[0] // which names the whole path
		}
		return nil, fmt.Errorf("%s/%w", root, mistakes[0])
	}
	return r, nil
}

// find returns the device with this certificate ID, or nil.
func (r *registry) find(id string) *device {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.devices[id]
}

// refresh reads the files again that have changed. It returns the mistakes that it finds there, once; what was read
// before stays then, of the file with the mistake alone.
func (r *registry) refresh() (mistakes []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, err := r.scan()
	if err != nil {
		if err.Error() == r.unreadable {
			return nil
		}
		r.unreadable = err.Error()
		return []error{err}
	}
	r.unreadable = ""
	folders, devices := map[string]folder{}, map[string]*device{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		now := r.folders[name]
		if signature := found[name].signature(); signature != now.signature {
			now.signature = signature
			mistakes = append(mistakes, now.read(r.root, name, found[name], devices)...)
		}
		folders[name] = now
		if now.device != nil {
			devices[now.device.id] = now.device
		}
	}
	r.folders, r.devices = folders, devices
	return mistakes
}

// read reads the files that have changed, and makes the device of them. The certificates of taken are those of other
// folders.
func (f *folder) read(root, name string, l listing, taken map[string]*device) (mistakes []error) {
	if l.err != nil {
		return []error{l.err}
	}
	before := f.files
	f.files = map[string]file{}
	for _, e := range l.entries {
		now := before[e.name]
		if now.signature != e.signature {
			value, err := e.value(root, name)
			if err != nil {
				mistakes = append(mistakes, err)
			} else {
				now.value = value
			}
			now.signature = e.signature
		}
		f.files[e.name] = now
	}
	device, more := f.assemble(name, taken)
	f.device = device
	return append(mistakes, more...)
}

// listing is the files of a folder that the registry knows.
type listing struct {
	entries []entry
	err     error // why the folder cannot be read
}

// entry is a file in a listing.
type entry struct {
	name      string
	signature string
	err       error // why it cannot be read
}

// signature is that of the folder.
func (l listing) signature() string {
	if l.err != nil {
		return l.err.Error()
	}
	var b strings.Builder
	for _, e := range l.entries {
		b.WriteString(e.signature)
	}
	return b.String()
}

// scan lists the folders that have such files, and those that it cannot read.
func (r *registry) scan() (map[string]listing, error) {
	found := map[string]listing{}
	root, err := os.ReadDir(r.root)
	if err != nil {
		return nil, err
	}
	found["."] = r.list(".", root)
	for _, entry := range root {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(r.root, entry.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was removed just now
		case err != nil:
			found[entry.Name()] = listing{err: err}
		default:
			found[entry.Name()] = r.list(entry.Name(), entries)
		}
	}
	maps.DeleteFunc(found, func(_ string, l listing) bool { return len(l.entries) == 0 && l.err == nil })
	return found, nil
}

// list returns the files of a folder that the registry knows.
func (r *registry) list(folder string, files []fs.DirEntry) (l listing) {
	for _, f := range files {
		if kindOf(f.Name()) == otherFile {
			continue
		}
		e := entry{name: f.Name()}
		info, err := os.Stat(filepath.Join(r.root, folder, f.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // an editor replaces it
		case err != nil:
			e.err = err
			e.signature = fmt.Sprintln(f.Name(), err)
		default:
			if !info.Mode().IsRegular() { // a named pipe without a writer would hold everybody up
				e.err = fmt.Errorf("%s is no regular file: put one there, or remove it", filepath.Join(folder, f.Name()))
			}
			e.signature = fmt.Sprintln(f.Name(), info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
		l.entries = append(l.entries, e)
	}
	return l
}
