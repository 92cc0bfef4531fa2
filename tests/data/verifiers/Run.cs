// Answers each case on standard input with the how-to page's C# verifier.
using System;

public static class Run
{
    public static void Main()
    {
        string line;
        while ((line = Console.In.ReadLine()) != null)
        {
            Console.Out.WriteLine(Verify(line.Split('\x1f')) ? "valid" : "invalid");
        }
    }

    static bool Verify(string[] f)
    {
        var rawBody = Convert.FromBase64String(f[2]);
        switch (f[0])
        {
            case "scriptrun": return WebhookVerifier.VerifyScriptRun(rawBody, f[3], f[1]);
            case "autorx": return WebhookVerifier.VerifyAutoRx(rawBody, f[3], f[4], f[1]);
            default: return WebhookVerifier.VerifyStandard(rawBody, f[5], f[6], f[3], f[1]);
        }
    }
}
