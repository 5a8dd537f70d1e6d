package pair

import (
	"os"
	"path/filepath"
	"testing"
)

// If one of several files cannot be written, those before it are gone, and what
// they replaced is back.
func TestWriteAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := writing{dir: dir}
	if err := w.write([]file{{"old", []byte("lost")}, {"new", nil}, {filepath.Join("none", "such"), nil}}, true); err == nil {
		t.Fatal("all was written")
	}
	if got, err := os.ReadFile(old); err != nil || string(got) != "lost" {
		t.Errorf("before the undoing: %q, %v", got, err)
	}
	if err := w.undo(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(old); err != nil || string(got) != "kept" {
		t.Errorf("%q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}
