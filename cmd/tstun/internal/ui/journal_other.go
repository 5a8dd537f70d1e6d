//go:build !linux

package ui

import "os"

func isJournal(*os.File, string) bool { return false }
