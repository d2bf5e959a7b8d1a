package filestore_test

import (
	"errors"
	"fmt"
	"os"

	"iotwire/mqtt"
	"iotwire/mqtt/filestore"
)

// What was put is there when the directory is opened again, after a Close, a kill -9 or a power cut.
func Example() {
	dir, err := os.MkdirTemp("", "session")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	store, err := filestore.Open(dir, "meter-7", filestore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	store.Put(
		mqtt.Record{Key: mqtt.Key{Kind: 1, N: 1}, Data: []byte("first")},
		mqtt.Record{Key: mqtt.Key{Kind: 1, N: 2}, Data: []byte("second")},
	) // durable
	store.Delete(mqtt.Key{Kind: 1, N: 1})
	store.Close()

	_, err = filestore.Open(dir, "meter-8", filestore.Options{})
	fmt.Println(errors.Is(err, filestore.ErrOtherClient))

	store, err = filestore.Open(dir, "meter-7", filestore.Options{
		Warn: func(err error) { fmt.Println("warning:", err) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	for record, err := range store.All() {
		fmt.Println(record.Key, string(record.Data), err)
	}
	// Output:
	// true
	// {1 2} second <nil>
}
