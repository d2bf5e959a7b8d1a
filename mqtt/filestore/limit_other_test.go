//go:build !linux

package filestore

const noFileSizeLimit = "the limit of file sizes is set as Linux does it"

func limitFileSize(uint64) {}
