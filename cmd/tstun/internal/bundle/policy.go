package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// maxPolicy bounds the policy file, in bytes.
const maxPolicy = 8 << 20

// errNoStatus is the error of a part that needs the status.
var errNoStatus = errors.New("the tunnel did not tell its status, and so not which it is")

// policy reads the policy file, and notes if it is not the one in force.
func (c *collector) policy(context.Context) ([]byte, error) {
	if c.last == nil {
		return nil, errNoStatus
	}
	is := &c.last.Policy
	if is.File == "" {
		return nil, errors.New("the tunnel has no policy file")
	}
	data, err := readRegular(is.File)
	if !filepath.IsAbs(is.File) { // it is relative to the tunnel's own directory
		of := filepath.Join("/proc", strconv.Itoa(c.last.PID), "cwd", is.File)
		if there, thereErr := readRegular(of); thereErr == nil {
			data, err = there, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != is.Hash {
		c.note = "not what is in force: the file was changed since that was loaded"
	}
	return data, nil
}

// readRegular reads a file that is none of the kinds that may never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Size() > maxPolicy:
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that a bundle takes", path, info.Size(), maxPolicy)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(f, maxPolicy))
}
