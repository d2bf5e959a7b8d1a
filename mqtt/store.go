package mqtt

import "iter"

// Store keeps a session where it outlives the process: what was accepted and is not yet acknowledged, the QoS 2
// identifiers that were received, the subscriptions that the server has [MQTT-4.1.0-1]. Package filestore is one, in a
// file. A Store belongs to one Client; the client calls it from one goroutine at a time.
//
// It is a table of records by key. Put and Delete take effect in the order of the calls.
type Store interface {
	// All yields every record once, in the order of keys. Damage comes as an error, with the key if it is known, and
	// does not end the iteration: the other records are good.
	All() iter.Seq2[Record, error]

	// Put adds records, or replaces those of the same keys, and returns when they and all Deletes before are durable:
	// when a power cut cannot undo them. All or, after an error or a crash, any of the records may have been kept. With no
	// record it only makes the Deletes durable. A store that has no room for a record with data says so with an error and
	// keeps nothing of the call; after any other error it is broken, and every later call fails.
	Put(records ...Record) error

	// Delete removes records; a key without a record is no mistake. It need not be durable before the next Put returns, and
	// is not before the records of that Put are.
	Delete(keys ...Key) error

	// Reset removes everything, durably.
	Reset() error

	// Close ends the use of the store. It does not touch what is kept.
	Close() error
}

// Key names a record: Kind says what it is, N which one. Keys are ordered by Kind, then by N.
type Key struct {
	Kind Kind
	N    uint64
}

// Kind is the kind of a record. The meaning is the client's; a store keeps any. 0 is never used.
type Kind uint8

// Record is a key with its data: any bytes, none too. Put does not keep Data; what All yields is the caller's.
type Record struct {
	Key  Key
	Data []byte
}
