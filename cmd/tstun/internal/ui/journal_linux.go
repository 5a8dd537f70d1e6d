package ui

import (
	"fmt"
	"os"
	"syscall"
)

// isJournal reports whether f is the stream to the journal that the variable
// JOURNAL_STREAM tells of (systemd.exec(5)), and not one that took its place.
func isJournal(f *os.File, stream string) bool {
	var s syscall.Stat_t
	return stream != "" && syscall.Fstat(int(f.Fd()), &s) == nil && stream == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}
