package main

import (
	"fmt"
	"io"
	"log/slog"
)

// logSettings are the flags of the log.
type logSettings struct {
	level, format string
}

// handler returns what the flags ask for, or says what they may be. The
// controller's V(1) is slog's level -1, which debug (-4) shows.
func (s logSettings) handler(w io.Writer) (slog.Handler, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, known := levels[s.level]
	if !known {
		return nil, fmt.Errorf("--log-level is %q: allowed is debug, info, warn or error", s.level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.format {
	case "json":
		return slog.NewJSONHandler(w, options), nil
	case "text":
		return slog.NewTextHandler(w, options), nil
	}
	return nil, fmt.Errorf("--log-format is %q: allowed is json or text", s.format)
}
