//go:build !notrace

package cli

// tracing says that the programs can show and record what travels. A build with the tag notrace leaves that out, and is some
// 250 KB smaller: for devices on which nobody looks.
const tracing = true
