<?php
// Answers each case on standard input with the how-to page's PHP verifier.

require __DIR__ . '/webhook_verifier.php';

foreach (array_slice(explode("\n", stream_get_contents(STDIN)), 0, -1) as $line) {
    [$format, $secret, $body, $signature, $nextSignature, $id, $timestamp] = explode("\x1f", $line);
    $rawBody = base64_decode($body);
    $valid = match ($format) {
        'scriptrun' => verify_scriptrun($rawBody, $signature, $secret),
        'autorx' => verify_autorx($rawBody, $signature, $nextSignature, $secret),
        'standard' => verify_standard($rawBody, $id, $timestamp, $signature, $secret),
    };
    echo $valid ? "valid\n" : "invalid\n";
}
