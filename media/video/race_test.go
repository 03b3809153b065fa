//go:build race

package video_test

const raceDetector = true // it keeps much memory of its own
