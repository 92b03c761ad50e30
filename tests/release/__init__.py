"""What a release needs beyond the tests of each change; run by `scripts/release-check`."""
