package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The programs that have a turn in each round. Control is of the old revision
// too, checked out and built apart: what it differs by is noise.
const (
	oldProgram = iota
	newProgram
	controlProgram
	numPrograms
)

// program is a package's test binary and where it runs.
type program struct{ path, dir string }

// build makes the test binaries, in dir.
func (o options) build(ctx context.Context, dir string) ([]program, error) {
	out, err := command(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	programs := make([]program, numPrograms)
	for i, name := range []string{oldProgram: "old", newProgram: "new", controlProgram: "control"} {
		root := strings.TrimSpace(string(out))
		if i != newProgram {
			source := root
			root = filepath.Join(dir, name)
			if err := checkOut(ctx, source, o.old, root); err != nil {
				return nil, err
			}
		}
		p := program{path: filepath.Join(dir, name+".test"), dir: filepath.Join(root, o.pkg)}
		if _, err := command(ctx, p.dir, "go", "test", "-c", "-trimpath", "-o", p.path, "."); err != nil {
			return nil, err
		}
		programs[i] = p
	}
	return programs, nil
}

// checkOut writes the files of a revision of the repository at source to dir,
// and leaves the repository alone.
func checkOut(ctx context.Context, source, revision, dir string) error {
	files, err := command(ctx, source, "git", "archive", "--format=tar", revision)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	untar := exec.CommandContext(ctx, "tar", "-x", "-C", dir)
	untar.Stdin = bytes.NewReader(files)
	if out, err := untar.CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	return nil
}

// measure runs the benchmarks of p once.
func (o options) measure(ctx context.Context, p program) ([]byte, error) {
	return command(ctx, p.dir, p.path, "-test.run=^$", "-test.bench="+o.bench, "-test.benchtime="+o.time.String(), "-test.benchmem")
}

// command runs a program in dir and returns what it prints.
func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), args[0], err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
