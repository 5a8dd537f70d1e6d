package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/bundle"
	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// silent is a tunnel that answers nothing but its events.
type silent struct{}

var errSilent = errors.New("no answer")

func (silent) Status(context.Context) (s control.Status, err error)      { return s, errSilent }
func (silent) Diagnose(context.Context) (d control.Diagnosis, err error) { return d, errSilent }
func (silent) Goroutines(context.Context) ([]byte, error)                { return nil, errSilent }
func (silent) Events(_ context.Context, _ bool, line func([]byte) error) error {
	return line([]byte(`{"kind":"peer-up","text":"` + privateKey + ` and ` + publicKey + `","peer":"` + publicKey + `","x":"http://me:hunter2@10.0.0.1/"}`))
}
func (silent) Flows(context.Context, control.FlowsQuery, func([]byte) error) (t tunnel.FlowTotal, err error) {
	return t, errSilent
}

const (
	privateKey = "eCtXsJZ27+4PbhDkHnB923tkUn2Gj59wZw5wFA75MnU="
	publicKey  = "UguPyBThx/+xMXeTbRYkKlP0Wh/QZT3vTLPOVaaXTD8="
)

// unpack returns the files of an archive, all in one directory.
func unpack(t *testing.T, archive []byte, dir string) map[string]string {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for in := tar.NewReader(packed); ; {
		h, err := in.Next()
		if err == io.EOF {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		path, ok := strings.CutPrefix(h.Name, dir+"/")
		if !ok || h.Mode != 0o600 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%+v", h)
		}
		files[path] = string(data)
	}
}

// Parts that fail are in the manifest with their errors, and the others in the archive
// as the manifest says. Keys that are not public and passwords are in none.
func TestPartsThatFail(t *testing.T) {
	parts := bundle.Collect(t.Context(), silent{}, bundle.Version{Version: "v1"})
	m := bundle.Manifest{Created: time.Now(), Version: "v1", Tunnel: "wg0"}
	m.List(parts)
	var b bytes.Buffer
	if err := bundle.Write(&b, "d", m, parts); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, b.Bytes(), "d")
	var got bundle.Manifest
	if err := json.Unmarshal([]byte(files[bundle.ManifestPath]), &got); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, e := range got.Parts {
		text, is := files[e.Path]
		sum := sha256.Sum256([]byte(text))
		if e.Error != "" {
			failed++
		}
		if is == (e.Error != "") || is && (e.Bytes != len(text) || e.SHA256 != hex.EncodeToString(sum[:])) {
			t.Errorf("%+v of %q", e, text)
		}
	}
	if failed != 7 || len(files) != 4 || len(got.Parts) != 10 {
		t.Errorf("%d of %d parts failed, %d files: %s", failed, len(got.Parts), len(files), files[bundle.ManifestPath])
	}
	events := files["events.jsonl"]
	if strings.Contains(events, privateKey) || strings.Contains(events, "hunter2") || strings.Count(events, publicKey) != 2 || !json.Valid([]byte(events)) {
		t.Errorf("%s", events)
	}
}

// A bundle ends with its context.
func TestCollectEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, p := range bundle.Collect(ctx, silent{}, bundle.Version{}) {
		if p.Err == nil || p.Err.Error() != context.Canceled.Error() {
			t.Errorf("%s: %v", p.Path, p.Err)
		}
	}
}
