package aws

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"iotwire/internal/testbroker"
)

// allowEverything is the policy that a thing is made with. Its three statements are there to be edited.
const allowEverything = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "iot:Connect",
      "Resource": "arn:aws:iot:us-east-1:123456789012:client/*"
    },
    {
      "Effect": "Allow",
      "Action": ["iot:Publish", "iot:RetainPublish", "iot:Receive"],
      "Resource": "arn:aws:iot:us-east-1:123456789012:topic/*"
    },
    {
      "Effect": "Allow",
      "Action": "iot:Subscribe",
      "Resource": "arn:aws:iot:us-east-1:123456789012:topicfilter/*"
    }
  ]
}
`

// firstThing is the name of the thing that an empty registry is filled with.
const firstThing = "thing-1"

// fill makes what is missing in an empty registry, and in each empty folder of it.
func fill(dir string, hosts []string) (*testbroker.Certificates, error) {
	if dir == "" {
		return nil, errors.New("no directory for the registry: give one, which may be empty")
	}
	certificates, err := testbroker.EnsureCertificates(dir, hosts...)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return kindOf(e.Name()) == policyFile || kindOf(e.Name()) == thingFile }) {
		if err := writeThing(dir, firstThing); err != nil {
			return nil, err
		}
	}
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if err := fillFolder(filepath.Join(dir, entry.Name()), certificates); err != nil {
			return nil, err
		}
	}
	return certificates, nil
}

// fillFolder makes a thing of an empty folder, with the name of the folder.
func fillFolder(dir string, certificates *testbroker.Certificates) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		return err
	}
	name := filepath.Base(dir)
	certificate, key, err := certificates.Issue(name)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name    string
		content []byte
		mode    fs.FileMode
	}{
		{"AmazonRootCA1.pem", certificates.CA, 0o644},
		{"private.key", key, 0o600},
		{"cert.pem", certificate, 0o644},
	} {
		if err := testbroker.WriteNew(filepath.Join(dir, file.name), file.content, file.mode); err != nil {
			return err
		}
	}
	return writeThing(dir, name)
}

// writeThing writes thing.json and policy.json.
func writeThing(dir, name string) error {
	quoted, err := json.Marshal(name)
	if err != nil {
		return err
	}
	text := "{\n  \"status\": \"ACTIVE\",\n  \"thing\": " + string(quoted) + "\n}\n"
	return errors.Join(
		testbroker.WriteNew(filepath.Join(dir, "thing.json"), []byte(text), 0o644),
		testbroker.WriteNew(filepath.Join(dir, "policy.json"), []byte(allowEverything), 0o644))
}
