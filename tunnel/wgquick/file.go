package wgquick

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"tstun/tunnel"
)

// maxSize bounds a file. A thousand peers take a tenth of it.
const maxSize = 16 << 20

// ParseFile reads a file and parses it. It adds a warning if users other than
// the owner and its group may reach what is in it. The error is Errors, or one of
// the system's with the path in it.
func ParseFile(path string, options Options) (*tunnel.Config, []Warning, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("wgquick: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("wgquick: %w", err)
	}
	if len(data) > maxSize {
		return nil, nil, fmt.Errorf("wgquick: %s: longer than %d bytes", path, maxSize)
	}
	exposed, err := isExposed(f, path)
	if err != nil {
		return nil, nil, fmt.Errorf("wgquick: %w", err)
	}
	config, warnings, err := Parse(path, data, options)
	if exposed {
		w := Warning{Position{File: path}, "other users can reach the keys in it: chmod 600 " + path}
		warnings = append([]Warning{w}, warnings...)
	}
	return config, warnings, err
}

// isExposed reports whether other users may do something with a file, by its
// mode and its directory's, links followed. wg-quick warns if both give others
// the same right, which misses a file that they may read in a directory that
// they may only search, and one that they may only write.
func isExposed(f *os.File, path string) (bool, error) {
	if runtime.GOOS == "windows" { // modes say nothing there
		return false, nil
	}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) { // such as a pipe of the shell's
		return false, nil
	} else if err != nil {
		return false, err
	}
	file, err := f.Stat()
	if err != nil {
		return false, err
	}
	dir, err := os.Stat(filepath.Dir(target))
	if err != nil {
		return false, err
	}
	fileMode, dirMode := file.Mode().Perm(), dir.Mode().Perm()
	const read, write, search = 4, 2, 1
	return fileMode&dirMode&7 != 0 || dirMode&search != 0 && fileMode&(read|write) != 0, nil
}
