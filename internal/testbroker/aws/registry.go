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
}

// folder is one that has a thing's files.
type folder struct {
	signature string  // of its files, which changes when one of them does
	device    *device // as it was before, if its files have a mistake now; nil if there never was one
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

// refresh reads the folders again in which a file has changed. It returns the mistakes that it finds there, once; what
// was read before stays then.
func (r *registry) refresh() (mistakes []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, err := r.scan()
	if err != nil {
		return []error{err}
	}
	folders, devices := map[string]folder{}, map[string]*device{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		files := found[name]
		now := folder{signature: files.signature, device: r.folders[name].device}
		if now.signature != r.folders[name].signature {
			d, err := readDevice(r.root, name, files.names)
			if err == nil && devices[d.id] != nil {
				err = fmt.Errorf("%s has the same certificate as %s: remove one", name, devices[d.id].folder)
			}
			if err == nil {
				now.device = d
			} else {
				mistakes = append(mistakes, err)
			}
		}
		folders[name] = now
		if now.device != nil {
			devices[now.device.id] = now.device
		}
	}
	r.folders, r.devices = folders, devices
	return mistakes
}

// listing is the files of a folder that the registry knows.
type listing struct {
	names     []string
	signature string
}

// scan lists the folders that have such files.
func (r *registry) scan() (map[string]listing, error) {
	found := map[string]listing{}
	root, err := os.ReadDir(r.root)
	if err != nil {
		return nil, err
	}
	names := []string{"."}
	for _, entry := range root {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	for _, name := range names {
		entries, err := os.ReadDir(filepath.Join(r.root, name))
		if err != nil {
			return nil, err
		}
		var l listing
		for _, entry := range entries {
			if kindOf(entry.Name()) == otherFile {
				continue
			}
			info, err := os.Stat(filepath.Join(r.root, name, entry.Name()))
			if errors.Is(err, os.ErrNotExist) {
				continue // an editor replaces it
			}
			if err != nil {
				return nil, err
			}
			l.names = append(l.names, entry.Name())
			l.signature += fmt.Sprintln(entry.Name(), info.Size(), info.ModTime().UnixNano())
		}
		if len(l.names) > 0 {
			found[name] = l
		}
	}
	return found, nil
}
