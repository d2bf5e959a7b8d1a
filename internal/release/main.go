// Command release builds the programs for every target, packs them, and writes SHA256SUMS:
//
//	go run ./internal/release [-o DIR] [-verify] [TARGET]...
//
// A TARGET is os/arch or os/arch/variant, as in the table below; without one, all are built. The same commit and the
// same version of Go give the same bytes, on any machine and in any directory: no path, no time of the build and no C
// compiler gets in. -verify shows that: it builds all once more, from a copy of the sources in another directory and
// with an empty build cache, and compares.
//
//	main.go     the options, and what is printed
//	build.go    the targets, and go build for one of them
//	archive.go  tar.gz and zip files that depend on their content alone
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	out := flag.String("o", "dist", "the directory for the archives and SHA256SUMS")
	verify := flag.Bool("verify", false, "build again, elsewhere and without a cache, and compare")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "usage: go run ./internal/release [-o DIR] [-verify] [TARGET]...\n\n")
		flag.PrintDefaults()
		fmt.Fprintf(flag.CommandLine.Output(), "\ntargets: %s\n", strings.Join(names(targets), " "))
	}
	flag.Parse()
	if err := run(ctx, *out, flag.Args(), *verify); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, wanted []string, verify bool) error {
	chosen, err := choose(wanted)
	if err != nil {
		return err
	}
	source, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	sums, err := release(ctx, source, out, "", chosen)
	if err != nil || !verify {
		return err
	}

	elsewhere, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(elsewhere)
	copied, cache := filepath.Join(elsewhere, "sources"), filepath.Join(elsewhere, "cache")
	if err := git(ctx, "-c", "advice.detachedHead=false", "clone", "--quiet", source, copied); err != nil {
		return err
	}
	fmt.Println("once more, from a clone and with an empty cache:")
	again, err := release(ctx, copied, filepath.Join(elsewhere, "dist"), cache, chosen)
	if err != nil {
		return err
	}
	if sums != again {
		return fmt.Errorf("the second build differs from the first; are there changes that are not committed?\nfirst:\n%ssecond:\n%s", sums, again)
	}
	fmt.Println("the same bytes")
	return nil
}

// release builds the targets and returns what it wrote to SHA256SUMS. cache is the build cache; empty: the user's.
func release(ctx context.Context, source, out, cache string, chosen []target) (string, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	version, err := versionOf(ctx, source)
	if err != nil {
		return "", err
	}
	var sums strings.Builder
	fmt.Printf("%-24s %10s %10s %10s  bytes\n", "iotwire "+version, "publisher", "subscriber", "archive")
	for _, t := range chosen {
		programs, err := build(ctx, source, cache, t)
		if err != nil {
			return "", fmt.Errorf("%s: %w", t.name, err)
		}
		folder := "iotwire-" + version + "-" + strings.ReplaceAll(t.name, "/", "-")
		files := slices.Clone(programs)
		for _, name := range []string{"LICENSE", "README.md"} {
			text, err := os.ReadFile(filepath.Join(source, name))
			if err != nil {
				return "", err
			}
			files = append(files, file{name, 0o644, text})
		}
		archive := t.archive(folder, files)
		name := folder + t.suffix()
		if err := os.WriteFile(filepath.Join(out, name), archive, 0o644); err != nil {
			return "", err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(archive), name)
		fmt.Printf("%-24s %10d %10d %10d\n", t.name, sizeOf(programs, "publisher"), sizeOf(programs, "subscriber"), len(archive))
	}
	return sums.String(), os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

func sizeOf(programs []file, name string) int {
	for _, p := range programs {
		if strings.TrimSuffix(p.name, ".exe") == name {
			return len(p.content)
		}
	}
	return 0
}
