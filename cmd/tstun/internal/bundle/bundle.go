package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"time"
)

// Part is a file of the archive. Data is nil where Err is not.
type Part struct {
	Path string // in the archive, without its directory
	What string // what it is, in a few words
	Data []byte
	Note string // what a reader has to know of it, or empty
	Err  error  // why it is not there
}

// Manifest says what is in an archive. It is its first file, manifest.json.
type Manifest struct {
	Created    time.Time `json:"created"`
	Version    string    `json:"version"` // of the tool that made it
	Tunnel     string    `json:"tunnel"`
	Anonymized bool      `json:"anonymized"`
	Note       string    `json:"note,omitempty"`
	Parts      []Entry   `json:"parts"`
}

// Entry is a Part in a Manifest. One that has an Error is not in the archive.
type Entry struct {
	Path   string `json:"path"`
	What   string `json:"what"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
	Note   string `json:"note,omitempty"`
	Error  string `json:"error,omitempty"`
}

// ManifestPath is where the Manifest is in an archive.
const ManifestPath = "manifest.json"

// List makes the entries of m those of parts.
func (m *Manifest) List(parts []Part) {
	m.Parts = []Entry{}
	for _, p := range parts {
		e := Entry{Path: p.Path, What: p.What, Bytes: len(p.Data), Note: p.Note}
		if p.Err != nil {
			e.Error = p.Err.Error()
		} else {
			sum := sha256.Sum256(p.Data)
			e.SHA256 = hex.EncodeToString(sum[:])
		}
		m.Parts = append(m.Parts, e)
	}
}

// Write writes a .tar.gz archive of m and of the parts that have no error, in a directory.
// It says nothing of the user who makes it.
func Write(w io.Writer, dir string, m Manifest, parts []Part) error {
	first, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(w)
	out := tar.NewWriter(packed)
	add := func(path string, data []byte) error {
		h := tar.Header{Name: dir + "/" + path, Mode: 0o600, Size: int64(len(data)), ModTime: m.Created.Truncate(time.Second), Format: tar.FormatPAX}
		if err := out.WriteHeader(&h); err != nil {
			return err
		}
		_, err := out.Write(data)
		return err
	}
	if err := add(ManifestPath, append(first, '\n')); err != nil {
		return err
	}
	for _, p := range parts {
		if p.Err != nil {
			continue
		}
		if err := add(p.Path, p.Data); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	return packed.Close()
}

// lines joins lines, each of which ends.
func lines(all [][]byte) []byte {
	if len(all) == 0 {
		return []byte{}
	}
	return append(bytes.Join(all, []byte("\n")), '\n')
}
