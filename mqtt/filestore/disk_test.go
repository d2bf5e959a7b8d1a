package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
)

// memoryDisk is a disk in memory that writes down all that it was asked to do, so that a power cut can be played at any
// point of it, and that fails on command.
type memoryDisk struct {
	mu     sync.Mutex
	names  map[string]*inode
	inodes int
	locked map[string]bool
	log    []event

	// fault, if not nil, may make a call fail. The calls are those of system and file, by name.
	fault func(call string) error

	// beforeSync, if not nil, is called by each Sync of a file, outside the lock.
	beforeSync func()
}

// inode is what a name stands for: a file, or with nil data a directory.
type inode struct {
	n    int
	data []byte
}

// event is one step: something that the disk did, or a mark that the test left.
type event struct {
	call     string
	name, to string
	inode    int
	offset   int64 // of a write; the size of a truncate
	data     []byte
	mark     any
}

var errInjected = errors.New("injected failure")

func newMemoryDisk() *memoryDisk {
	return &memoryDisk{
		names:  map[string]*inode{".": {}, "/": {}},
		locked: map[string]bool{},
	}
}

// begin starts a call: it decides whether it fails.
func (d *memoryDisk) begin(call string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(call)
}

func (d *memoryDisk) mark(m any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, event{call: "mark", mark: m})
}

// count counts the calls of a name.
func (d *memoryDisk) count(call string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.log {
		if e.call == call {
			n++
		}
	}
	return n
}

// content returns what is in the file of that name now.
func (d *memoryDisk) content(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return nil
	}
	return slices.Clone(d.names[name].data)
}

// put makes a file of that content, as if it had been there for ever.
func (d *memoryDisk) put(name string, data []byte) {
	for dir := filepath.Dir(name); d.names[dir] == nil; dir = filepath.Dir(dir) {
		d.names[dir] = &inode{}
	}
	d.inodes++
	d.names[name] = &inode{d.inodes, append([]byte{}, data...)}
}

func (d *memoryDisk) parent(name string) error {
	if d.names[filepath.Dir(name)] == nil {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return nil
}

func (d *memoryDisk) mkdir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.begin("mkdir"), d.parent(dir)); err != nil {
		return err
	}
	if d.names[dir] != nil {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
	}
	d.inodes++
	d.names[dir] = &inode{n: d.inodes}
	d.log = append(d.log, event{call: "mkdir", name: dir, inode: d.inodes})
	return nil
}

func (d *memoryDisk) lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.begin("lock"), d.parent(name)); err != nil {
		return nil, err
	}
	if d.locked[name] {
		return nil, ErrLocked
	}
	d.locked[name] = true
	return unlocker(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.locked, name)
	}), nil
}

type unlocker func()

func (u unlocker) Close() error { u(); return nil }

func (d *memoryDisk) open(name string) (file, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin("open"); err != nil {
		return nil, 0, err
	}
	i := d.names[name]
	if i == nil {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memoryFile{disk: d, inode: i}, int64(len(i.data)), nil
}

func (d *memoryDisk) create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.begin("create"), d.parent(name)); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	d.inodes++
	i := &inode{n: d.inodes, data: []byte{}}
	d.names[name] = i
	d.log = append(d.log, event{call: "create", name: name, inode: i.n})
	return &memoryFile{disk: d, inode: i}, nil
}

func (d *memoryDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin("rename"); err != nil {
		return err
	}
	i := d.names[from]
	if i == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(d.names, from)
	d.names[to] = i
	d.log = append(d.log, event{call: "rename", name: from, to: to, inode: i.n})
	return nil
}

func (d *memoryDisk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin("remove"); err != nil {
		return err
	}
	if d.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(d.names, name)
	d.log = append(d.log, event{call: "remove", name: name})
	return nil
}

func (d *memoryDisk) syncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin("syncDir"); err != nil {
		return err
	}
	d.log = append(d.log, event{call: "syncDir", name: dir})
	return nil
}

// memoryFile is an open file of a memoryDisk.
type memoryFile struct {
	disk   *memoryDisk
	inode  *inode
	closed bool
}

func (f *memoryFile) begin(call string) error {
	if f.closed {
		return fs.ErrClosed
	}
	return f.disk.begin(call)
}

func (f *memoryFile) ReadAt(p []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.begin("read"); err != nil {
		return 0, err
	}
	if offset >= int64(len(f.inode.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.inode.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes half if it is to fail with an error that matches io.ErrShortWrite, else nothing.
func (f *memoryFile) WriteAt(p []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.begin("write")
	switch {
	case errors.Is(err, io.ErrShortWrite):
		p = p[:len(p)/2]
	case err != nil:
		return 0, err
	}
	e := event{call: "write", inode: f.inode.n, offset: offset, data: slices.Clone(p)}
	f.disk.log = append(f.disk.log, e)
	f.inode.data = e.apply(f.inode.data, nil)
	return len(p), err
}

func (f *memoryFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.begin("truncate"); err != nil {
		return err
	}
	e := event{call: "truncate", inode: f.inode.n, offset: size}
	f.disk.log = append(f.disk.log, e)
	f.inode.data = e.apply(f.inode.data, nil)
	return nil
}

// Sync, when it fails, forgets what was to be written, as Linux does: the next one that succeeds will not write it.
func (f *memoryFile) Sync() error {
	if f.disk.beforeSync != nil {
		f.disk.beforeSync()
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.begin("sync"); err != nil {
		f.disk.log = append(f.disk.log, event{call: "syncFailed", inode: f.inode.n})
		return err
	}
	f.disk.log = append(f.disk.log, event{call: "sync", inode: f.inode.n})
	return nil
}

func (f *memoryFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.closed = true
	return f.disk.begin("close")
}

// apply does a write or truncate to data. A hole before it is filled with stale bytes, or zeros.
func (e event) apply(data, stale []byte) []byte {
	data = slices.Clone(data)
	if e.call == "truncate" {
		if int64(len(data)) > e.offset {
			data = data[:e.offset]
		}
		return fill(data, e.offset, stale)
	}
	data = fill(data, e.offset, stale)
	n := copy(data[e.offset:], e.data)
	return append(data, e.data[n:]...)
}

// fill extends data to size.
func fill(data []byte, size int64, stale []byte) []byte {
	for int64(len(data)) < size {
		if len(data) < len(stale) {
			data = append(data, stale[len(data)])
		} else {
			data = append(data, 0)
		}
	}
	return data
}

func (e event) String() string {
	return fmt.Sprintf("%s %s%s inode %d at %d, %d bytes %v", e.call, e.name, e.to, e.inode, e.offset, len(e.data), e.mark)
}
