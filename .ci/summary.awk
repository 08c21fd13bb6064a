# Sums up the closing lines of cargo's test binaries: "test result: ok. 3 passed; 0 failed; 1 ignored; …".
# Names what failed once more, as it may be far up.

{ gsub(/\033\[[0-9;]*m/, "") }

/^test result: / {
    for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed;/) passed += $(i - 1)
        if ($i ~ /^failed;/) failed += $(i - 1)
        if ($i ~ /^ignored;/) skipped += $(i - 1)
    }
}

/^test .* \.\.\. FAILED$/ { print "failed: " $2 }

END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
