//go:build notrace

package cli

const tracing = false
