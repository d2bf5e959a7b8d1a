package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
	"iotwire/mqtt/filestore"
)

// A session that outlives the program: what was accepted is delivered, by a later run if need be.
func Example() {
	broker := testbroker.New(testbroker.Config{}) // in place of a server
	defer broker.Close()
	dir, err := os.MkdirTemp("", "meter") // /var/lib/meter, say
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := filestore.Open(filepath.Join(dir, "session"), "meter-7", filestore.Options{
		MaxBytes: 1 << 20, // of messages that wait for a network; more are refused
		Warn:     func(err error) { log.Print(err) },
	})
	if err != nil {
		log.Fatal(err) // ErrLocked: the program runs already
	}
	client, err := mqtt.New(mqtt.Config{Dial: broker.Dial, ClientID: "meter-7", Store: store}) // closes the store when Run has returned
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range client.Resumed() {
		log.Printf("%s is left from an earlier run, and delivered first", r.Topic)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- client.Run(ctx) }()

	d, err := client.Submit(ctx, mqtt.Message{Topic: "meter/7/energy", Payload: []byte("21.5 kWh"), QoS: mqtt.QoS1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("on the disk, whatever happens now")
	fmt.Println("acknowledged:", d.Wait(ctx))
	fmt.Println("shut down:", client.Shutdown(ctx), <-ended)
	// Output:
	// on the disk, whatever happens now
	// acknowledged: <nil>
	// shut down: <nil> <nil>
}

// Each error of Open tells what to do about it.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "session")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := filestore.Open(dir, "meter-7", filestore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	_, err = filestore.Open(dir, "meter-7", filestore.Options{})
	switch {
	case errors.Is(err, filestore.ErrLocked):
		fmt.Println("the program runs already")
	case errors.Is(err, filestore.ErrOtherClient):
		fmt.Println("the directory has the session of another client identifier: take another directory")
	case errors.Is(err, filestore.ErrVersion):
		fmt.Println("a newer version of the program has written it")
	case errors.Is(err, filestore.ErrDamaged):
		fmt.Println("the file is not what was written: move it away, its messages are lost")
	case err != nil:
		fmt.Println(err) // of the operating system
	}
	// Output: the program runs already
}

// What a Store does for a client: what was put is there when the directory is opened again, after a Close, a kill -9 or a
// power cut.
func ExampleStore() {
	dir, err := os.MkdirTemp("", "session")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := filestore.Open(dir, "meter-7", filestore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	first, second := mqtt.Key{Kind: 1, N: 1}, mqtt.Key{Kind: 1, N: 2}
	if err := store.Put(mqtt.Record{Key: first, Data: []byte("one")}, mqtt.Record{Key: second, Data: []byte("two")}); err != nil {
		log.Fatal(err)
	}
	if err := store.Delete(first); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	if store, err = filestore.Open(dir, "meter-7", filestore.Options{}); err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	for record, err := range store.All() {
		fmt.Println(record.Key, string(record.Data), err)
	}
	fmt.Println("everything removed:", store.Reset())
	// Output:
	// {1 2} two <nil>
	// everything removed: <nil>
}
