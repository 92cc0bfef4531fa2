"""A clinic's spreadsheet of the demo, with rows that a person has to correct."""

from typing import Final

NAME: Final = "clinic-orders.csv"
MEDIA_TYPE: Final = "text/csv"
ROWS: Final = """\
Order,Patient,Address,Phone,Rx,Copay,Signature,Note
C-501,Helena Ruiz,14 Ossington Ave Toronto ON M6J 2Y7,416-555-0131,RX-8890101,4.11,yes,
C-502,Jonas Lindqvist,220 Dundas St W Toronto ON M5T 1G5,416-555-0132,RX-8890102,0.00,no,
C-503,,38 Queen St E Toronto ON M5C 1R6,416-555-0133,RX-8890103,6.11,no,
C-504,Amina Diallo,7 Parliament St Toronto ON M5A 2Y4,416-555-0134,RX-8890104,12.50,yes,
C-505,Peter Vance,61 Danforth Ave Toronto ON M4K 1N2,416-555-0135,RX-8890105,12.5.0,no,
C-506,Sunita Rao,903 Gerrard St E Toronto ON M4M 1Z4,416-555-0136,RX-8890106,8.83,no,Concierge
C-507,Walter Kim,,416-555-0137,RX-8890107,4.11,no,
C-508,Edith Berger,512 Bloor St W Toronto ON M5S 1Y3,416-555-0138,RX-8890108,2.00,yes,
"""
