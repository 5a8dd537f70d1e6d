package control

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"tstun/tunnel"
)

// Dirs returns the directories in which sockets may be. In the first, this
// process makes its own: the one that systemd made for it (systemd.exec(5),
// RuntimeDirectory=), for root tunnel.DefaultStateDir, for others one below
// $XDG_RUNTIME_DIR or else below the directory of temporary files. getenv returns
// a variable's value, or "". If stateDir is not empty, it is the only one: the
// directory in which tunnels in kernel mode have their journals, one for each
// network namespace.
func Dirs(stateDir string, getenv func(string) string) (dirs []string) {
	if stateDir != "" {
		return []string{stateDir}
	}
	add := func(parts ...string) {
		dir := filepath.Join(parts...)
		if filepath.IsAbs(parts[0]) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	first, _, _ := strings.Cut(getenv("RUNTIME_DIRECTORY"), ":")
	add(first)
	if os.Geteuid() == 0 {
		add(tunnel.DefaultStateDir)
	}
	add(getenv("XDG_RUNTIME_DIR"), "tstun")
	if runtime.GOOS == "windows" { // where this directory is the user's own
		add(os.TempDir(), "tstun")
		return dirs
	}
	add(os.TempDir(), "tstun-"+strconv.Itoa(os.Geteuid()))
	add(tunnel.DefaultStateDir)
	return dirs
}

const suffix = ".sock"

// maxPath is how long the path of a socket may be, in bytes: sun_path of
// sockaddr_un less its end, of 104 bytes on the BSDs and macOS (sys/un.h).
const maxPath = 103

// pathOf returns the path of a tunnel's socket.
func pathOf(dir, name string) (string, error) {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\:`) {
		return "", fmt.Errorf("%q cannot be the name of a tunnel", name)
	}
	path := filepath.Join(dir, name+suffix)
	if len(path) > maxPath {
		return "", fmt.Errorf("%s has %d bytes and the path of a socket at most %d: set XDG_RUNTIME_DIR to a shorter one", path, len(path), maxPath)
	}
	return path, nil
}

// makeDir makes a directory that is this user's alone, or wants it to be.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	uid, known := ownerOf(info)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory: remove it", dir)
	case known && uid != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, and this is user %d: remove it, or set XDG_RUNTIME_DIR to a directory of your own", dir, uid, os.Geteuid())
	case known && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s may be written by others (mode %#o): chmod 700 %[1]s", dir, info.Mode().Perm())
	}
	return nil
}

// isTrusted reports whether what is in a directory was put there by this user
// or by root, or this is root, who may ask everybody.
func isTrusted(info fs.FileInfo) bool {
	uid, known := ownerOf(info)
	return info.IsDir() && (!known || uid == os.Geteuid() || uid == 0 || os.Geteuid() == 0)
}
