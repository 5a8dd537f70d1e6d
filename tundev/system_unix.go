//go:build unix

package tundev

import (
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

func thisSystem() system {
	return system{
		goos:    runtime.GOOS,
		root:    os.DirFS("/"),
		release: kernelRelease(),
		open:    openAndClose,
		rdev:    deviceNumber,
		owner:   fileOwner,
		limits:  descriptorLimits,
		foreign: foreignNetwork,
		links:   linkByName,
		jailed:  jailed(),
	}
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func openAndClose(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	unix.Close(fd)
	return nil
}

func deviceNumber(info fs.FileInfo) (major, minor uint32, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&fs.ModeCharDevice == 0 {
		return 0, 0, false
	}
	return unix.Major(uint64(stat.Rdev)), unix.Minor(uint64(stat.Rdev)), true
}

func fileOwner(info fs.FileInfo) (uid, gid uint32, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return stat.Uid, stat.Gid, true
}

func descriptorLimits() (soft, hard uint64, ok bool) {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0, 0, false
	}
	return uint64(l.Cur), uint64(l.Max), true
}
