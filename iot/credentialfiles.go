package iot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// rootNames are the files of roots that are taken from a directory: all that are there, or else the last.
var rootNames = []string{"AmazonRootCA1.pem", "AmazonRootCA2.pem", "AmazonRootCA3.pem", "AmazonRootCA4.pem", "root-CA.crt"}

// maxSearch is the most files that are looked into for key and certificate.
const maxSearch = 256

// load finds and reads the files.
func (f *CredentialFiles) load(now time.Time) (*Credentials, error) {
	if f.Dir != "" && (f.CA == "" || !f.CAOnly && (f.Certificate == "" || f.Key == "")) {
		if info, err := os.Stat(f.Dir); errors.Is(err, fs.ErrNotExist) {
			return nil, &CredentialsError{File: f.Dir, Problem: "no such directory", Remedy: "give the one with the certificates", cause: err}
		} else if err != nil {
			return nil, fileError(f.Dir, err)
		} else if !info.IsDir() {
			return nil, badFile(f.Dir, "a file, want a directory", "give the directory with the certificates")
		}
	}
	var m material
	if !f.CAOnly {
		if err := f.readPair(&m); err != nil {
			return nil, err
		}
	}
	if err := f.readRoots(&m); err != nil {
		return nil, err
	}
	return m.credentials(now)
}

// readRoots reads the files of the roots.
func (f *CredentialFiles) readRoots(m *material) error {
	var names []string
	switch {
	case f.CA != "":
		names = []string{f.CA}
	case f.Dir == "":
		return badFile("CA", "no file with CA certificates was named",
			"name one, or a directory that has AmazonRootCA1.pem")
	default:
		for _, name := range rootNames {
			if path := filepath.Join(f.Dir, name); exists(path) && (len(names) == 0 || name != "root-CA.crt") {
				names = append(names, path)
			}
		}
		if len(names) == 0 {
			return missing(f.Dir, rootNames[0], "download it: https://www.amazontrust.com/repository/AmazonRootCA1.pem")
		}
	}
	for _, name := range names {
		file, err := readPEM(name, maxRoots)
		if err != nil {
			return err
		}
		m.roots = append(m.roots, file)
	}
	return nil
}

// readPair reads private key and certificate.
func (f *CredentialFiles) readPair(m *material) error {
	key, certificate := f.Key, f.Certificate
	if f.Dir == "" {
		switch {
		case key == "" && certificate == "":
			return nil
		case key == "":
			return badFile(certificate, "a certificate was named, but no private key", "name both")
		case certificate == "":
			return badFile(key, "a private key was named, but no certificate", "name both")
		}
	}
	usualKey, usualCertificate := filepath.Join(f.Dir, "private.key"), filepath.Join(f.Dir, "cert.pem")
	if key == "" && exists(usualKey) {
		key = usualKey
	}
	if certificate == "" && exists(usualCertificate) {
		certificate = usualCertificate
	}
	if key == "" || certificate == "" {
		return f.search(m)
	}
	var err error
	if m.key, err = readPEM(key, maxFile); err != nil {
		return err
	}
	m.certificate, err = readPEM(certificate, maxFile)
	return err
}

// exists reports whether there is a file of this name, or something that keeps us from knowing, which reading it tells.
func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// search finds private key and certificate in the directory by content: the pair that has the same public key.
func (f *CredentialFiles) search(m *material) error {
	keys, certificates, fault := f.candidates()
	type pair struct{ key, certificate *pemFile }
	var pairs []pair
	for _, key := range keys {
		for _, certificate := range certificates {
			if samePublicKey(key.keys[0].Public(), certificate.certificates[0].PublicKey) {
				pairs = append(pairs, pair{key, certificate})
			}
		}
	}
	same := func(a, b pair) bool { return a.certificate.certificates[0].Equal(b.certificate.certificates[0]) }
	pairs = slices.CompactFunc(pairs, same) // copies of the same key or certificate are no second pair
	switch {
	case len(pairs) == 1:
		m.key, m.certificate = pairs[0].key, pairs[0].certificate
		return nil
	case len(pairs) > 1:
		var list []string
		for _, p := range pairs {
			list = append(list, filepath.Base(p.key.name)+" with "+filepath.Base(p.certificate.name))
		}
		return badFile(f.Dir, fmt.Sprintf("%d pairs of private key and certificate: %s", len(pairs), strings.Join(list, ", ")),
			"keep one, or name the files")
	case fault != nil: // a broken file explains more than a missing one
		return fault
	case len(keys) > 0 && len(certificates) > 0:
		if len(keys) == 1 && len(certificates) == 1 {
			return mismatch(keys[0].name, certificates[0].name)
		}
		return badFile(f.Dir, "no private key belongs to a certificate; private keys: "+baseNames(keys)+
			"; certificates: "+baseNames(certificates), "take the two that were made together")
	case len(keys) > 0:
		return missing(f.Dir, "cert.pem", wantedFiles)
	}
	return missing(f.Dir, "private.key", wantedFiles)
}

const wantedFiles = "the directory needs private.key, cert.pem and AmazonRootCA1.pem, or the files as AWS gives them"

// missing is the error for a directory that lacks a file.
//
//go:noinline
func missing(dir, name, remedy string) error {
	return &CredentialsError{File: filepath.Join(dir, name), Problem: "no such file", Remedy: remedy, cause: fs.ErrNotExist}
}

// candidates reads the files that may be the private key or the certificate: the named one, or all of the directory
// that look like one. The error is the first fault of a file, which matters only if no pair is found.
func (f *CredentialFiles) candidates() (keys, certificates []*pemFile, fault error) {
	names, err := f.list()
	if err != nil {
		return nil, nil, err
	}
	if f.Key != "" {
		file, err := readPEM(f.Key, maxFile)
		if err == nil {
			_, err = file.privateKey()
		}
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, file)
	}
	if f.Certificate != "" {
		file, err := readPEM(f.Certificate, maxFile)
		if err == nil {
			_, err = file.chain()
		}
		if err != nil {
			return nil, nil, err
		}
		certificates = append(certificates, file)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Size() > maxFile {
			continue // the roots of a whole system, perhaps: no key and no certificate is so large
		}
		file, err := readPEM(name, maxFile)
		if err == nil && file.has("ENCRYPTED PRIVATE KEY") {
			_, err = file.privateKey()
		}
		if err != nil {
			if fault == nil {
				fault = err
			}
			continue
		}
		if f.Key == "" && len(file.keys) == 1 {
			keys = append(keys, file)
		}
		if f.Certificate == "" && len(file.certificates) > 0 {
			certificates = append(certificates, file)
		}
	}
	return keys, certificates, fault
}

// list returns the files of the directory that may hold a private key or a certificate, in the order of their names.
func (f *CredentialFiles) list() ([]string, error) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return nil, fileError(f.Dir, err)
	}
	var names []string
	for _, entry := range entries {
		name, extension := entry.Name(), strings.ToLower(filepath.Ext(entry.Name()))
		if !entry.IsDir() && slices.Contains([]string{".pem", ".key", ".crt", ".cer"}, extension) && !slices.Contains(rootNames, name) {
			names = append(names, filepath.Join(f.Dir, name))
		}
	}
	if len(names) > maxSearch {
		return nil, badFile(f.Dir, fmt.Sprintf("%d files that may be key or certificate, want at most %d", len(names), maxSearch),
			"name the files, or call them private.key and cert.pem")
	}
	return names, nil
}

func baseNames(files []*pemFile) string {
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(file.name))
	}
	return strings.Join(names, ", ")
}
